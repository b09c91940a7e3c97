from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segfield.data.folder import Folder


def write(path: Path, values: object = 0, shape: tuple[int, ...] = (16, 24)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.broadcast_to(np.asarray(values, np.uint8), shape).copy()).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six pairs with the same names in two folders."""
    rng = np.random.default_rng(0)
    for number in range(6):
        write(tmp_path / f"images/{number}.png", rng.integers(0, 256, (16, 24, 3)), (16, 24, 3))
        write(tmp_path / f"masks/{number}.png", rng.integers(0, 2, (16, 24)) * 255)
    return tmp_path


def folder(root: Path, **settings: object) -> Folder:
    given = {"in_channels": 3, "batch_size": 2, "images": str(root / "images"), "masks": str(root / "masks")}
    data = Folder(**{**given, **settings})
    data.setup()
    return data


def one_tree(root: Path, **settings: object) -> Folder:
    return folder(root, **{"images": str(root), "masks": str(root), "mask_pattern": "{stem}_mask", **settings})


def ids(data: Folder) -> list[str]:
    return [id_ for id_, *_ in data.split_table()]


def test_pairs_of_two_folders_are_found_by_their_names(root: Path) -> None:
    data = folder(root)
    assert ids(data) == [f"{number}.png" for number in range(6)]
    item = data.item(4)
    with Image.open(root / "images/4.png") as image, Image.open(root / "masks/4.png") as mask:
        assert np.array_equal(item["image"].numpy(), np.asarray(image).transpose(2, 0, 1))
        assert np.array_equal(item["target"].numpy(), np.asarray(mask) > 0)
    assert (item["image"].dtype, item["target"].dtype) == (torch.uint8, torch.uint8)


def test_without_a_pattern_each_image_is_a_group(root: Path) -> None:
    assert all(id_ == group for id_, group, _ in folder(root).split_table())


def test_formats_of_image_and_mask_may_differ_and_other_files_are_ignored(tmp_path: Path) -> None:
    for name, ending in (("a", "jpg"), ("b", "TIF"), ("c", "bmp")):
        write(tmp_path / f"images/{name}.{ending}")
        write(tmp_path / f"masks/{name}.gif", np.eye(16, 24))
    for name in ("read.me", "list.csv", ".hidden.png", "._a.jpg"):
        (tmp_path / "images" / name).write_text("no picture")
    (tmp_path / "images/.ipynb_checkpoints").mkdir()
    write(tmp_path / "images/.ipynb_checkpoints/a.png")
    data = folder(tmp_path)
    assert ids(data) == ["a.jpg", "b.TIF", "c.bmp"]
    assert data.item(0)["target"].sum() == 16


def test_subfolders_are_part_of_the_name(tmp_path: Path) -> None:
    for patient in ("p1", "p2"):
        for number in (1, 2):
            write(tmp_path / f"images/{patient}/{number}.png")
            write(tmp_path / f"masks/{patient}/{number}.png", int(patient == "p2"))
    data = folder(tmp_path, group_pattern="^([^/]+)/")
    assert [(id_, group) for id_, group, _ in data.split_table()] == [
        ("p1/1.png", "p1"), ("p1/2.png", "p1"), ("p2/1.png", "p2"), ("p2/2.png", "p2"),
    ]  # fmt: skip
    assert [int(data.item(index)["target"].max()) for index in range(4)] == [0, 0, 1, 1]


def test_in_one_tree_files_of_the_mask_pattern_are_no_images(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write(tmp_path / f"p/{number}.tif")
        write(tmp_path / f"p/{number}_mask.tif", 255)
    data = one_tree(tmp_path)
    assert ids(data) == ["p/1.tif", "p/10.tif", "p/2.tif"]
    assert data.item(0)["target"].min() == 1


def test_masks_in_a_folder_below_the_images_are_no_images(root: Path) -> None:
    (root / "masks").rename(root / "images/labels")
    data = folder(root, masks=str(root / "images/labels"))
    assert len(ids(data)) == 6
    flipped = folder(
        root, images=str(root / "images/labels"), masks=str(root / "images"), values=dict.fromkeys(range(256), 0)
    )
    assert len(ids(flipped)) == 6


def test_a_pattern_may_have_a_prefix(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"images/{name}.png")
        write(tmp_path / f"masks/gt-{name}-1.png")
    assert ids(folder(tmp_path, mask_pattern="gt-{stem}-1")) == ["a.png", "b.png"]


@pytest.mark.parametrize("size", [[8, 12], [32, 32]])
def test_pairs_are_resized_to_the_working_size(root: Path, size: list[int]) -> None:
    item = folder(root, size=size).item(0)
    assert item["image"].shape[1:] == item["target"].shape == tuple(size)


@pytest.mark.parametrize("setting", ["images", "masks"])
def test_both_folders_must_be_given(root: Path, setting: str) -> None:
    with pytest.raises(ValueError, match=r"data=folder needs data\.images=<dir> data\.masks=<dir>"):
        folder(root, **{setting: None})


@pytest.mark.parametrize("setting", ["images", "masks"])
def test_a_missing_folder_is_named(root: Path, setting: str) -> None:
    with pytest.raises(
        FileNotFoundError, match=rf"data\.{setting}: there is no folder .*/absent\. Use data\.{setting}="
    ):
        folder(root, **{setting: str(root / "absent")})


def test_a_folder_without_images_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"No images in .*/empty: .*Use data.images="):
        folder(root, images=str(tmp_path / "empty"))


def test_images_without_masks_are_counted_and_named(root: Path) -> None:
    for number in (1, 3, 4, 5):
        (root / f"masks/{number}.png").unlink()
    with pytest.raises(
        ValueError, match=r"4 of 6 images have no mask \{stem\}\.\* in .*masks, first 1\.png, 3\.png, 4\.png\."
    ):
        folder(root)


def test_masks_without_images_are_a_warning(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(root / "masks/0_predict.png")
    write(root / "masks/1_predict.png")
    assert len(ids(folder(root))) == 6
    assert f"2 masks in {root / 'masks'} have no image, first 0_predict: left out." in caplog.text


def test_in_one_tree_masks_without_images_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "a_mask", "b", "b_mask", "c_mask"):
        write(tmp_path / f"{name}.png")
    assert ids(one_tree(tmp_path)) == ["a.png", "b.png"]
    assert "1 masks in" in caplog.text
    assert "first c_mask" in caplog.text


def test_two_files_with_one_stem_are_refused(root: Path) -> None:
    write(root / "images/0.tif")
    with pytest.raises(ValueError, match=r"images has both 0\.png and 0\.tif: which one counts"):
        folder(root)


@pytest.mark.parametrize("pattern", ["mask", "{stem}_{stem}", "labels/{stem}", "{name}_mask"])
def test_a_mask_pattern_without_one_stem_is_refused(root: Path, pattern: str) -> None:
    with pytest.raises(
        ValueError, match=r"must be a file name that holds \{stem\} once.*'data.mask_pattern=\"\{stem\}_mask\"'"
    ):
        folder(root, mask_pattern=pattern)


def test_one_folder_for_images_and_masks_needs_a_pattern(root: Path) -> None:
    with pytest.raises(ValueError, match=r"makes each image its own mask.*data.mask_pattern=\"\{stem\}_mask\""):
        folder(root, masks=str(root / "images"))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("[", "is no regular expression"),
        ("^[0-9]", r"has no group in parentheses.*'data.group_pattern="),
        ("^(x)", r"finds no group in '0\.png'. Change the pattern"),
        ("^(x)?", r"finds no group in '0\.png'"),
    ],
)
def test_a_group_pattern_that_names_no_group_is_refused(root: Path, pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        folder(root, group_pattern=pattern)


def test_a_mask_of_another_size_is_named_even_where_both_are_resized(root: Path) -> None:
    write(root / "masks/2.png", shape=(24, 16))
    with pytest.raises(ValueError, match=r"images/2\.png is 16x24 but its mask .*masks/2\.png is 24x16"):
        folder(root, size=[8, 8]).item(2)


def test_the_em_membranes_of_isbi_2012_are_read(shared_data: Path) -> None:
    data = folder(shared_data / "isbi2012", in_channels=1)
    assert len(data.split_table()) == 30
    item = data.item(0)
    assert tuple(item["image"].shape) == (1, 512, 512)
    assert 0.6 < item["target"].float().mean() < 0.9  # cells are 255, membranes 0
    assert item["image"].float()[0][item["target"] == 1].mean() > item["image"].float()[0][item["target"] == 0].mean()


def test_brain_slices_of_lgg_are_read_and_split_by_patient(shared_data: Path) -> None:
    data = one_tree(shared_data / "lgg/kaggle_3m", group_pattern="^([^/]+)/")
    table = data.split_table()
    assert len(table) == 67
    assert {group for _, group, _ in table} == {
        "TCGA_CS_4943_20000902", "TCGA_CS_4944_20010208", "TCGA_FG_7634_20000128",
    }  # fmt: skip
    assert len({group for _, group, part in table if part == "val"}) == 1
    targets = [data.item(index)["target"] for index in range(67)]
    assert all(tuple(target.shape) == (256, 256) for target in targets)
    assert 0 < sum(not target.any() for target in targets) < 67


def test_an_audit_is_told_of_missing_and_orphaned_masks_instead_of_an_error(root: Path) -> None:
    (root / "masks/1.png").unlink()
    write(root / "masks/9.png")
    data = Folder(in_channels=3, batch_size=2, images=str(root / "images"), masks=str(root / "masks"))
    data.findings = {}
    assert len(data.samples()) == 5
    assert data.findings == {"missing": [str(root / "images/1.png")], "orphaned": [str(root / "masks/9.png")]}
