from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.data.brain_tumour import BrainTumour
from segfield.data.brain_tumour.intensity import limits, stretched

Brain = Callable[..., BrainTumour]
Write = Callable[..., Path]
A, B = "TCGA_AA_0001_20000101", "TCGA_BB_0002_20000202"


def test_the_whole_range_of_int16_is_stretched_without_overflow() -> None:
    image = np.array([[[-32768, 0, 32767]]], np.int16)
    assert stretched(image, limits([image], [0, 100])).tolist() == [[[0, 128, 255]]]


def test_each_channel_is_stretched_by_its_own_range() -> None:
    image = np.array([[[0, 10]], [[100, 200]]], np.uint8)
    assert stretched(image, limits([image], [0, 100])).tolist() == [[[0, 255]], [[0, 255]]]


def test_a_channel_of_one_value_becomes_zero() -> None:
    image = np.full((1, 2, 2), 7, np.int16)
    assert not stretched(image, limits([image], [0, 100])).any()


def test_values_outside_of_the_percentiles_are_clipped() -> None:
    image = np.arange(101, dtype=np.int16).reshape(1, 1, 101) * 3
    ends = limits([image], [10, 90])
    assert ends.tolist() == [[30, 270]]
    grey = stretched(image, ends)[0, 0]
    assert (grey[:11] == 0).all()
    assert (grey[90:] == 255).all()


def test_slices_of_a_volume_may_differ_in_size() -> None:
    assert limits([np.full((1, 2, 2), 5), np.full((1, 3, 1), 9)], [0, 100]).tolist() == [[5, 9]]


@pytest.fixture
def root(tmp_path: Path, write_lgg: Write) -> Path:
    return write_lgg(tmp_path / "kaggle_3m", {A: 4, B: 2})


def tops(data: BrainTumour, patient: str) -> list[list[int]]:
    """Return the largest value of each channel, slice by slice."""
    rows = [(id_, data.item(index)["image"].amax((1, 2))) for index, (id_, *_) in enumerate(data.split_table())]
    return [top.tolist() for id_, top in rows if id_.startswith(patient)]


def test_by_default_slices_of_lgg_keep_the_bytes_of_their_files(root: Path, brain: Brain) -> None:
    assert tops(brain(root), A) == [[10 * n, 20 * n, 30 * n] for n in (1, 2, 3, 4)]


def test_by_image_each_slice_reaches_255_in_every_channel(root: Path, brain: Brain) -> None:
    assert tops(brain(root, intensity="image"), A) == [[255, 255, 255]] * 4


def test_by_volume_the_brightest_slice_of_each_patient_reaches_255_and_the_others_keep_their_ratio(
    root: Path, brain: Brain
) -> None:
    data = brain(root, intensity="volume")
    assert [row[0] for row in tops(data, A)] == [64, 128, 191, 255]
    assert [row[0] for row in tops(data, B)] == [128, 255]


def test_a_volume_below_255_is_stretched_by_image_and_volume_alone(
    shared_data: Path, tmp_path: Path, brain: Brain
) -> None:
    patients = sorted(path for path in (shared_data / "lgg/kaggle_3m").iterdir() if path.is_dir())[:2]
    for patient in patients:  # darkened: as 45 of the 110 patients are, none of those three
        (tmp_path / patient.name).mkdir()
        for path in patient.iterdir():
            with Image.open(path) as picture:
                dark = np.asarray(picture) if "mask" in path.name else (np.asarray(picture) * 0.7).astype(np.uint8)
            Image.fromarray(dark).save(tmp_path / patient.name / path.name)
    assert max(max(row) for row in tops(brain(tmp_path), "")) == 178
    for intensity in ("image", "volume"):
        assert max(max(row) for row in tops(brain(tmp_path, intensity=intensity), "")) == 255


def test_a_picture_that_is_no_slice_is_a_volume_of_its_own(root: Path, tmp_path: Path, brain: Brain) -> None:
    Image.new("RGB", (4, 4), (9, 9, 9)).save(tmp_path / "alone.png")
    Image.fromarray(np.array([[[1, 1, 1], [9, 9, 9]]], np.uint8)).save(tmp_path / "two.png")
    assert brain(root, intensity="volume").read_picture(tmp_path / "two.png", None)[0].tolist() == [[0, 255]]


def test_a_volume_is_of_the_slices_in_use_in_a_run_that_goes_on_too(root: Path, brain: Brain) -> None:
    """A slice that is added later must not move the others' range."""
    before = brain(root, intensity="volume")
    seen = [before.item(index)["image"] for index in range(6)]
    for ending in (".tif", "_mask.tif"):
        with Image.open(root / A / f"{A}_1{ending}") as picture:
            Image.fromarray(255 - np.asarray(picture)).save(root / A / f"{A}_9{ending}")
    later = BrainTumour(in_channels=3, batch_size=2, root=str(root), intensity="volume")
    later.keep_split(before.split_table())
    later.setup()
    assert all(later.item(index)["image"].equal(image) for index, image in enumerate(seen))


def test_a_slice_that_cannot_be_read_does_not_keep_its_volume_from_being_read(root: Path, brain: Brain) -> None:
    (root / A / f"{A}_4.tif").write_bytes(b"II*\x00")
    data = brain(root, intensity="volume")
    assert int(data.item(2)["image"][0].max()) == 255
    with pytest.raises(ValueError, match=rf"{A}_4\.tif is "):
        data.item(3)
