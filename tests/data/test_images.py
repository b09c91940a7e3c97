import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.data import images
from segfield.data.images import check_same_size, file_size, nearest, read_image, read_mask


def ramp(height: int, width: int) -> np.ndarray:
    """A smooth picture [H, W, 3] whose channels differ."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = rows * 255 // max(height - 1, 1), columns * 255 // max(width - 1, 1)
    return np.stack([red, green, 255 - red], axis=2).astype(np.uint8)


def saved(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp"])
def test_a_lossless_picture_is_read_as_channels_rows_columns(tmp_path: Path, suffix: str) -> None:
    picture = ramp(5, 8)
    array = read_image(saved(tmp_path / f"a.{suffix}", picture, lossless=True), 3)
    assert array.dtype == np.uint8
    assert np.array_equal(array, picture.transpose(2, 0, 1))


def test_what_is_read_is_writable_so_that_torch_takes_it(tmp_path: Path) -> None:
    picture = saved(tmp_path / "a.png", ramp(4, 6))
    mask = saved(tmp_path / "m.png", np.zeros((4, 6), np.uint8))
    assert all(array.flags.writeable for array in (read_image(picture, 1), read_image(picture, 3), read_mask(mask)))


def test_grey_repeats_in_three_channels_and_colours_mix_in_one(tmp_path: Path) -> None:
    grey = ramp(6, 6)[..., 0]
    assert np.array_equal(read_image(saved(tmp_path / "g.png", grey), 3), np.stack([grey] * 3))
    colours = read_image(saved(tmp_path / "c.png", ramp(6, 6)), 1)
    assert colours.shape == (1, 6, 6)
    assert abs(int(colours[0, 0, 5]) - round(0.587 * 255 + 0.114 * 255)) <= 1


def test_two_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got data.in_channels=2. Use 3"):
        read_image(tmp_path / "a.png", 2)


@pytest.mark.parametrize("size", [(160, 240), (80, 120), (100, 90), (161, 240), (400, 600)])
def test_a_jpeg_has_the_working_size_and_the_same_content_whatever_its_decoding_scale(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    path = saved(tmp_path / "a.jpg", ramp(320, 480), quality=95)
    array = read_image(path, 3, size)
    full = Image.fromarray(ramp(320, 480)).resize(size[::-1], Image.Resampling.BICUBIC)
    assert array.shape == (3, *size)
    assert np.abs(array.astype(int) - np.asarray(full).transpose(2, 0, 1).astype(int)).mean() < 2


def test_a_jpeg_is_decoded_at_half_scale_when_that_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.jpg", ramp(64, 96))
    resized = []
    monkeypatch.setattr(Image.Image, "resize", lambda self, size, *rest: resized.append(size) or self)
    assert read_image(path, 3, (32, 48)).shape == (3, 32, 48)
    assert resized == []


def test_an_exif_orientation_is_not_applied_because_masks_match_stored_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    path = saved(tmp_path / "a.jpg", ramp(32, 48), exif=exif)
    assert read_image(path, 3).shape == (3, 32, 48)
    assert file_size(path) == (32, 48)


def test_a_palette_picture_is_read_by_its_colours_also_with_transparency(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    for name, options in {"plain.png": {}, "clear.png": {"transparency": b"\x00\xff"}, "a.gif": {}}.items():
        picture.save(tmp_path / name, **options)
        assert read_image(tmp_path / name, 3)[:, 0].T.tolist() == [[10, 20, 30], [200, 100, 50]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_become_eight_by_the_full_range(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", np.array([[0, 257, 128 * 257, 65535]], np.uint16))
    assert read_image(path, 1)[0].tolist() == [[0, 1, 128, 255]]
    assert read_image(path, 3, (2, 4)).shape == (3, 2, 4)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_pictures_are_refused_because_their_range_is_unknown(tmp_path: Path, dtype: type) -> None:
    path = saved(tmp_path / "a.tif", np.ones((2, 2), dtype))
    with pytest.raises(ValueError, match=r"a\.tif has mode [IF] .*Save it as 8- or 16-bit grey"):
        read_image(path, 1)


def test_masks_keep_their_stored_values(tmp_path: Path) -> None:
    values = np.array([[0, 1], [38, 255]], np.uint8)
    palette = Image.fromarray(values)
    palette.putpalette(list(range(256)) * 3)
    palette.save(tmp_path / "p.png")
    assert read_mask(tmp_path / "p.png").tolist() == values.tolist()
    assert read_mask(saved(tmp_path / "l.png", values)).tolist() == values.tolist()
    assert read_mask(saved(tmp_path / "i.png", values.astype(np.uint16) * 257)).max() == 65535
    assert read_mask(saved(tmp_path / "b.png", values > 0)).tolist() == [[0, 1], [1, 1]]
    grey = np.stack([values] * 4, axis=2)
    assert read_mask(saved(tmp_path / "rgb.png", grey[..., :3])).tolist() == values.tolist()
    assert read_mask(saved(tmp_path / "rgba.png", grey)).tolist() == values.tolist()
    assert read_mask(saved(tmp_path / "la.png", grey[..., :2])).tolist() == values.tolist()


def test_a_colour_mask_is_refused(tmp_path: Path) -> None:
    colours = np.zeros((4, 4, 3), np.uint8)
    colours[1, 1:3, 0] = 200
    with pytest.raises(ValueError, match=r"m\.png is a colour mask: R, G and B differ at 2 pixels"):
        read_mask(saved(tmp_path / "m.png", colours))


def test_a_mask_of_fractions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"m\.tif has mode F, which is no mask.*8-bit grey PNG"):
        read_mask(saved(tmp_path / "m.tif", np.ones((2, 2), np.float32)))


def test_a_resized_mask_takes_the_values_at_pixel_centres(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 256, (10, 13), dtype=np.uint8)
    path = saved(tmp_path / "m.png", mask)
    for size in [(5, 6), (20, 26), (7, 13)]:
        expected = Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST)
        assert np.array_equal(read_mask(path, size), np.asarray(expected))
    assert nearest(mask, (5, 6)).flags.c_contiguous
    assert np.array_equal(nearest(mask, None), mask)


def test_a_mask_of_another_size_is_named_with_its_image_and_both_sizes(tmp_path: Path) -> None:
    image = saved(tmp_path / "a.jpg", ramp(20, 30))
    check_same_size(image, saved(tmp_path / "good.png", np.zeros((20, 30), np.uint8)))
    mask = saved(tmp_path / "m.png", np.zeros((30, 20), np.uint8))
    with pytest.raises(ValueError, match=r"a\.jpg is 20x30 but its mask .*m\.png is 30x20 \(HxW\)"):
        check_same_size(image, mask)


def test_a_stack_of_pictures_is_refused(tmp_path: Path) -> None:
    first, *rest = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (0, 100, 200)]
    for name in ("a.tif", "a.gif"):
        first.save(tmp_path / name, save_all=True, append_images=rest)
        with pytest.raises(ValueError, match=f"{name} is a stack of 3 pictures"):
            read_image(tmp_path / name, 1)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tif", "webp"])
@pytest.mark.parametrize("kept", [0.05, 0.6, 0.97])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str, kept: float) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path / f"a.{suffix}", picture)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(ValueError, match=rf"a\.{suffix} is (damaged|no image).*Copy or download it again"):
        read_image(path, 3, (32, 32))
    with pytest.raises(ValueError, match=rf"a\.{suffix} is"):
        read_mask(path)


def test_an_empty_file_a_text_and_a_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello, I am a text")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match=r"empty\.png is empty \(0 bytes\)"):
        read_image(tmp_path / "empty.png", 3)
    with pytest.raises(ValueError, match=r"text\.png is no image .*begins with b'hello, I am a te'"):
        file_size(tmp_path / "text.png")
    with pytest.raises(ValueError, match=r"folder\.png cannot be read: Is a directory"):
        read_mask(tmp_path / "folder.png")


def test_a_file_that_is_gone_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        read_image(tmp_path / "gone.png", 3)


def test_a_git_lfs_pointer_is_answered_with_git_lfs_pull(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ee33\nsize 203102\n")
    with pytest.raises(ValueError, match=r"a\.tif is a Git LFS pointer.*`git lfs pull`"):
        read_mask(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("name", "message"),
    [("lfs_pointer.tif", "Git LFS pointer.*git lfs pull"), ("utf8_mangled.tif", "no image that Pillow can read")],
)
def test_real_damaged_files_are_named(tmp_path: Path, shared_data: Path, name: str, message: str) -> None:
    path = Path(shutil.copy(shared_data / "damaged" / name, tmp_path))
    with pytest.raises(ValueError, match=f"{name} is .*{message}"):
        read_image(path, 3)


def test_pictures_beyond_pillows_limit_are_read_and_the_limit_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.png", ramp(64, 64))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(path, 3).shape == (3, 64, 64)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_pictures_beyond_our_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", ramp(64, 64))
    monkeypatch.setattr(images, "_MAX_PIXELS", 4095)
    with pytest.raises(ValueError, match=r"a\.png has 4096 pixels; at most 4095 .*Cut it in tiles"):
        read_image(path, 3)
