import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segfield.data.carvana import Carvana
from segfield.data.demo import prepare_carvana

SIZE = (64, 96)
CARS, VIEWS = 4, 3


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "carvana"
    prepare_carvana(folder, cars=CARS, views=VIEWS, size=SIZE, test_cars=1)
    return folder


@pytest.fixture
def root(demo: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return Path(shutil.copytree(demo, tmp_path / "carvana"))


def carvana(root: Path | None, **settings: object) -> Carvana:
    data = Carvana(**{"in_channels": 3, "batch_size": 2, "root": root and str(root), **settings})
    data.setup()
    return data


def everything(data: Carvana) -> list[tuple[str, np.ndarray, np.ndarray]]:
    items = [data.item(index) for index in range(len(data.split_table()))]
    return [(item["group"], item["image"].numpy(), item["target"].numpy()) for item in items]


def same_content(one: Carvana, two: Carvana) -> bool:
    return all(
        a[0] == b[0] and np.array_equal(a[1], b[1]) and np.array_equal(a[2], b[2])
        for a, b in zip(everything(one), everything(two), strict=True)
    )


def test_the_competitions_layout_is_read_with_ids_relative_to_the_root(
    demo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        data = carvana(demo)
    table = data.split_table()
    assert [id_ for id_, *_ in table] == sorted(f"train/{path.name}" for path in (demo / "train").iterdir())
    assert all(id_ == f"train/{group}_{id_[-6:]}" for id_, group, _ in table)
    assert f"{CARS * VIEWS} photographs of {CARS} cars" in caplog.text
    assert "train_masks/*_mask.gif" in caplog.text


def test_no_car_is_in_both_parts(demo: Path) -> None:
    table = carvana(demo, val_fraction=0.5).split_table()
    cars = {part: {group for _, group, p in table if p == part} for part in ("train", "val")}
    assert len(cars["train"]) == len(cars["val"]) == 2
    assert not cars["train"] & cars["val"]


def test_pairs_are_bytes_and_classes_that_match_the_files(demo: Path) -> None:
    item = carvana(demo).item(0)
    assert (item["image"].dtype, tuple(item["image"].shape)) == (torch.uint8, (3, *SIZE))
    name = Path(item["id"]).stem
    with Image.open(demo / f"train_masks/{name}_mask.gif") as mask:
        assert np.array_equal(item["target"].numpy(), np.asarray(mask))
    assert item["target"].dtype == torch.uint8


@pytest.mark.parametrize("size", [[32, 48], [40, 40]])
def test_images_and_masks_are_resized_to_the_working_size(demo: Path, size: list[int]) -> None:
    item = carvana(demo, size=size).item(0)
    assert item["image"].shape[1:] == item["target"].shape == tuple(size)
    assert set(item["target"].unique().tolist()) == {0, 1}


def test_train_hq_serves_where_train_is_absent(root: Path, demo: Path) -> None:
    (root / "train").rename(root / "train_hq")
    data = carvana(root)
    assert data.split_table()[0][0].startswith("train_hq/")
    assert same_content(data, carvana(demo))


@pytest.mark.parametrize("folder", [".", "train"])
def test_images_and_masks_may_lie_in_one_folder(root: Path, demo: Path, folder: str) -> None:
    for source in ("train", "train_masks"):
        for path in list((root / source).iterdir()):
            path.rename(root / folder / path.name)
    (root / "train_masks.csv").unlink()
    data = carvana(root)
    assert len(data.split_table()) == CARS * VIEWS
    assert data.split_table()[0][0].startswith("train/") == (folder == "train")
    assert same_content(data, carvana(demo))


@pytest.mark.parametrize("top", [1, 255])
def test_png_masks_of_either_range_are_read_alike(root: Path, demo: Path, top: int) -> None:
    for path in list((root / "train_masks").iterdir()):
        with Image.open(path) as mask:
            Image.fromarray(np.asarray(mask) * np.uint8(top)).save(path.with_suffix(".png"))
        path.unlink()
    assert same_content(carvana(root), carvana(demo))


@pytest.mark.parametrize("size", [None, [32, 48]])
def test_run_lengths_serve_where_mask_files_are_absent(
    root: Path, demo: Path, size: list[int] | None, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(root / "train_masks")
    with caplog.at_level(logging.INFO):
        data = carvana(root, size=size)
    assert "masks from" in caplog.text
    assert str(root / "train_masks.csv") in caplog.text
    assert same_content(data, carvana(demo, size=size))


def test_other_files_are_left_alone(root: Path, demo: Path) -> None:
    for name in ("Thumbs.db", "notes.txt", "IMG_0001.jpg", "._00087a6bd4dc_01.jpg", "00087a6bd4dc_01.jpg.part"):
        (root / "train" / name).write_text("not a car")
    assert carvana(root).split_table() == carvana(demo).split_table()


@pytest.mark.parametrize("broken", ["0" * 11 + "g_01.jpg", "ABCDEF012345_01.jpg", "00087a6bd4dc_1.jpg"])
def test_only_names_of_twelve_hex_digits_and_a_view_are_cars(tmp_path: Path, broken: str) -> None:
    (tmp_path / "train").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "train" / broken)
    with pytest.raises(FileNotFoundError, match="no cars at all"):
        carvana(tmp_path)


def test_photographs_without_masks_are_counted_and_named(root: Path) -> None:
    masks = sorted((root / "train_masks").iterdir())
    for path in masks[:5]:
        path.unlink()
    first = masks[0].name.replace("_mask.gif", ".jpg")
    with pytest.raises(
        ValueError, match=rf"5 of 12 photographs in .*train have no mask, first {first}, .*Add the masks"
    ):
        carvana(root)


def test_masks_without_photographs_are_a_warning(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    gone = min((root / "train").iterdir())
    gone.unlink()
    data = carvana(root)
    assert len(data.split_table()) == CARS * VIEWS - 1
    assert f"1 masks of {root / 'train_masks'}/*_mask.gif have no photograph, first {gone.stem}" in caplog.text


def test_a_photograph_in_two_formats_is_refused(root: Path) -> None:
    path = min((root / "train").iterdir())
    shutil.copy(path, path.with_suffix(".jpeg"))
    with pytest.raises(ValueError, match=rf"has both {path.stem}\.jpeg and {path.name}: which one counts"):
        carvana(root)


def test_a_missing_root_is_answered_with_where_to_get_the_data(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        carvana(tmp_path / "nowhere")
    said = str(caught.value)
    for words in (
        f"there is no folder {tmp_path / 'nowhere'}",
        "`<car>_<NN>.jpg`",
        "train/, train_hq/",
        "Kaggle's Carvana Image Masking Challenge",
        "data.root=<folder>",
        "$SEGFIELD_DATA/carvana",
        "`python -m segfield prepare demo carvana <folder>`",
        "data=blobs",
    ):
        assert words in said


def test_a_root_that_is_not_set_is_answered_alike() -> None:
    with pytest.raises(FileNotFoundError, match=r"data\.root is not set.*prepare demo carvana"):
        carvana(None)


def test_a_folder_without_cars_is_answered_alike(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no cars at all in .*Looked for photographs .*prepare demo carvana"):
        carvana(tmp_path)


def test_one_car_cannot_be_split(tmp_path: Path) -> None:
    prepare_carvana(tmp_path / "one", cars=1, views=3, size=SIZE, test_cars=0)
    with pytest.raises(ValueError, match=r"at least 2 groups; the only group is '[0-9a-f]{12}'.*views of one car"):
        carvana(tmp_path / "one")


def test_a_mask_of_another_size_is_named_even_where_both_are_resized(root: Path) -> None:
    path = min((root / "train_masks").iterdir())
    Image.new("L", (48, 32)).save(path)
    data = carvana(root, size=[32, 48])
    with pytest.raises(ValueError, match=rf"_01\.jpg is 64x96 but its mask .*{path.name} is 32x48"):
        data.item(0)


def test_run_lengths_of_another_size_are_named_with_their_photograph(root: Path) -> None:
    shutil.rmtree(root / "train_masks")
    path = min((root / "train").iterdir())
    Image.new("RGB", (16, 16)).save(path)
    with pytest.raises(
        ValueError, match=rf"train_masks\.csv, row of .*{path.name}: A run ends at pixel .*another size"
    ):
        carvana(root).item(0)


def test_grey_masks_are_refused(root: Path) -> None:
    path = min((root / "train_masks").iterdir())
    Image.fromarray(np.tile(np.arange(96, dtype=np.uint8), (64, 1))).save(path)
    with pytest.raises(ValueError, match=rf"{path.name} holds 96 values from 0 to 95; .*\{{0, 1\}} or \{{0, 255\}}"):
        carvana(root).item(0)


def test_a_truncated_photograph_is_named_when_it_is_read(root: Path) -> None:
    path = min((root / "train").iterdir())
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=rf"{path.name} is damaged or cut short"):
        carvana(root).item(0)


def test_a_bogus_train_masks_csv_is_refused(root: Path) -> None:
    shutil.rmtree(root / "train_masks")
    (root / "train_masks.csv").write_text("id,year,make\n")
    with pytest.raises(ValueError, match=r"bears the name .*found 'id,year,make'"):
        carvana(root)


def test_thousands_of_photographs_are_listed_without_opening_them(tmp_path: Path) -> None:
    for folder, ending in (("train", ".jpg"), ("train_masks", "_mask.gif")):
        (tmp_path / folder).mkdir()
        for number in range(2000):
            (tmp_path / folder / f"{number // 16:012x}_{number % 16 + 1:02d}{ending}").touch()  # empty: unreadable
    assert len(carvana(tmp_path).split_table()) == 2000
