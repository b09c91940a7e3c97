import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.data.demo import prepare_carvana
from segfield.data.rle import decode, read_masks_csv

SIZE = (128, 192)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "carvana"
    prepare_carvana(folder, cars=3, views=4, size=SIZE, test_cars=1)
    return folder


def masks_of(folder: Path) -> dict[str, np.ndarray]:
    masks = {}
    for path in sorted((folder / "train_masks").iterdir()):
        with Image.open(path) as picture:
            masks[path.name] = np.array(picture)
    return masks


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_named_as_in_carvana(demo: Path) -> None:
    photographs = sorted(path.name for path in (demo / "train").iterdir())
    assert len(photographs) == 12
    assert all(
        len(name) == 19 and int(name[:12], 16) and name[12:] in {f"_0{n}.jpg" for n in (1, 2, 3, 4)}
        for name in photographs
    )
    assert [f"{name[:15]}_mask.gif" for name in photographs] == sorted(masks_of(demo))
    assert len(list((demo / "test").glob("*.jpg"))) == 4


def test_photographs_are_rgb_jpegs_of_the_size_asked_for(demo: Path) -> None:
    for path in (demo / "train").iterdir():
        with Image.open(path) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", SIZE[::-1])


def test_masks_are_gifs_of_one_frame_with_two_palette_entries_and_indices_0_and_1(demo: Path) -> None:
    for path in (demo / "train_masks").iterdir():
        with Image.open(path) as picture:
            assert (picture.format, picture.mode, picture.size, picture.n_frames) == ("GIF", "P", SIZE[::-1], 1)
            assert picture.getpalette() == [0, 0, 0, 255, 255, 255]
            assert set(np.unique(np.asarray(picture))) == {0, 1}
            assert set(np.unique(np.asarray(picture.convert("L")))) == {0, 255}


def test_the_csv_holds_the_masks_of_the_gifs(demo: Path) -> None:
    rows, masks = read_masks_csv(demo / "train_masks.csv"), masks_of(demo)
    assert sorted(rows) == sorted(path.name for path in (demo / "train").iterdir())
    for name, row in rows.items():
        assert np.array_equal(decode(row, SIZE), masks[f"{name[:15]}_mask.gif"])


def test_the_submission_lists_the_test_photographs_with_a_dummy(demo: Path) -> None:
    rows = (demo / "sample_submission.csv").read_text().splitlines()
    assert rows[0] == "img,rle_mask"
    assert rows[1:] == [f"{path.name},1 1" for path in sorted((demo / "test").iterdir())]


def test_the_metadata_describe_every_car(demo: Path) -> None:
    with (demo / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "year", "make", "model", "trim1", "trim2", "quoted"]
    photographs = [*(demo / "train").iterdir(), *(demo / "test").iterdir()]
    assert {row["id"] for row in rows} == {path.name[:12] for path in photographs}


def test_cars_cover_what_real_ones_do_and_differ_by_car_and_view(demo: Path) -> None:
    masks = list(masks_of(demo).values())
    assert all(0.09 < mask.mean() < 0.36 for mask in masks)
    assert all(not np.array_equal(one, two) for i, one in enumerate(masks) for two in masks[:i])


def test_the_mask_is_the_car_and_not_its_shadow(demo: Path) -> None:
    mask = masks_of(demo)
    name = min(mask)
    with Image.open(demo / "train" / name.replace("_mask.gif", ".jpg")) as picture:
        grey = np.asarray(picture.convert("L")).astype(int)
    below = np.flatnonzero(mask[name].any(axis=1)).max() + 4  # rows under the front wheels: shadow, no car
    middle = slice(SIZE[1] // 2 - 10, SIZE[1] // 2 + 10)
    assert mask[name][below].sum() == 0
    assert grey[below, middle].mean() < grey[-3, middle].mean() - 15


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(demo: Path, tmp_path: Path) -> None:
    prepare_carvana(tmp_path / "again", cars=3, views=4, size=SIZE, test_cars=1)
    assert contents(tmp_path / "again") == contents(demo)
    prepare_carvana(tmp_path / "other", cars=1, views=1, size=SIZE, test_cars=0, seed=1)
    assert not {path.name for path in (tmp_path / "other/train").iterdir()} & {
        p.name for p in (demo / "train").iterdir()
    }


def test_the_same_call_completes_a_folder_that_was_left_half_done(tmp_path: Path) -> None:
    folder = tmp_path / "half"
    prepare_carvana(folder, cars=1, views=2, size=SIZE, test_cars=0)
    whole = contents(folder)
    (folder / "train_masks.csv").unlink()
    next((folder / "train").iterdir()).unlink()
    prepare_carvana(folder, cars=1, views=2, size=SIZE, test_cars=0)
    assert contents(folder) == whole


def test_a_folder_with_something_else_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"is not empty and was not made by `prepare demo`.*Use a new folder"):
        prepare_carvana(tmp_path, cars=1, views=1, size=SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(ValueError, match=r"thesis\.txt is not empty"):
        prepare_carvana(tmp_path / "thesis.txt", cars=1, views=1, size=SIZE)


def test_a_demo_with_other_numbers_is_refused_and_stays_as_it_is(demo: Path) -> None:
    before = contents(demo)
    with pytest.raises(ValueError, match=r"holds another demo: .*'cars': 3.*Nothing was written"):
        prepare_carvana(demo, cars=2, views=4, size=SIZE)
    assert contents(demo) == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cars": 0}, "cars=0 must be a whole number from 1"),
        ({"cars": "many"}, "cars=many must be a whole number"),
        ({"views": 100}, "views=100 must be a whole number from 1 to 99"),
        ({"test_cars": -1}, "test_cars=-1 must be a whole number from 0"),
        ({"seed": 0.5}, "seed=0.5 must be a whole number, 0 or more"),
        ({"size": [128]}, r"size=\[128\] must be \[H,W\] in pixels"),
        ({"size": None}, r"size=None must be \[H,W\].*Use size=\[1280,1918\]"),
        ({"size": (8, 128)}, "32 or more each"),
    ],
)
def test_a_number_out_of_range_is_refused_before_anything_is_written(
    tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prepare_carvana(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()
