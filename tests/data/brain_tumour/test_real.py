"""The real samples beside the project: each quirk that they have, as it is in their files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.data.brain_tumour import BrainTumour

Brain = Callable[..., BrainTumour]
FLAIR_THREE_TIMES = "TCGA_FG_7634_20000128"


def test_lgg_has_its_slices_patients_and_empty_masks(shared_data: Path, brain: Brain) -> None:
    samples = brain(shared_data / "lgg").samples()
    assert len(samples) == 67
    assert len({sample.group for sample in samples}) == 3
    assert sum(bool(sample.empty) for sample in samples) == 39
    assert {sample.labels["neoplasm_histologic_grade"] for sample in samples} == {"1", "2"}


def test_a_patient_whose_flair_stands_in_a_missing_channel_is_read_as_any_other(
    shared_data: Path, brain: Brain
) -> None:
    root = shared_data / "lgg/kaggle_3m"
    data, flair = brain(root), brain(root, channels="flair", in_channels=1)
    mine = [index for index, (_, group, _) in enumerate(data.split_table()) if group == FLAIR_THREE_TIMES]
    assert len(mine) == 27
    for index in mine:
        image = data.item(index)["image"]
        assert image[1].equal(image[2])
        assert image[1].equal(flair.item(index)["image"][0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("utf8_mangled.tif", r"is no image that Pillow can read: it begins with b'II"),
        ("lfs_pointer.tif", r"is a Git LFS pointer.*git lfs pull"),
    ],
)
def test_a_damaged_slice_is_named_with_what_it_is(
    shared_data: Path, tmp_path: Path, brain: Brain, name: str, message: str
) -> None:
    for patient in ("TCGA_CS_4943_20000902", "TCGA_CS_4944_20010208"):
        for ending in ("_1.tif", "_1_mask.tif"):
            (tmp_path / patient).mkdir(exist_ok=True)
            shutil.copy(shared_data / "lgg/kaggle_3m" / patient / f"{patient}{ending}", tmp_path / patient)
    shutil.copyfile(shared_data / "damaged" / name, tmp_path / patient / f"{patient}_1.tif")
    with pytest.raises(ValueError, match=rf"{patient}_1\.tif {message}"):
        brain(tmp_path).item(1)


def test_tumorseg_is_boxes_without_most_of_its_files_and_with_neighbours_in_other_parts(
    shared_data: Path, brain: Brain, caplog: pytest.LogCaptureFixture
) -> None:
    samples = brain(shared_data / "tumorseg").samples()
    counts = {part: sum(sample.part == part for sample in samples) for part in ("train", "val", "test")}
    assert counts == {"train": 42, "val": 20, "test": 20}
    assert {sample.labels.get("category") for sample in samples} == {"0", "1", None}
    assert sum(bool(sample.empty) for sample in samples) == 1
    for words in (
        "195 of 215 pictures that",
        "1460 of 1502 pictures that",
        "409 of 429 pictures that",
        "ALL 2146 OUTLINES",
        "197 of the 215 slices listed in test (92 %)",
    ):
        assert words in caplog.text


def test_tumorseg_regrouped_by_figshares_folds_has_no_neighbours_in_two_parts(shared_data: Path, brain: Brain) -> None:
    folds = shared_data / "figshare_index/cvind5fold.mat"
    data = brain(shared_data / "tumorseg", fold_file=str(folds), folds=5, fold=0)
    table = data.split_table()
    assert {group for _, group, _ in table} == {f"fold{number}" for number in (1, 2, 3, 4, 5)}
    numbers = {
        part: {int(Path(id_).name.split("_")[0]) for id_, _, p in table if p == part} for part in ("train", "val")
    }
    assert all(numbers.values())
    assert not {number + step for number in numbers["val"] for step in (-1, 1)} & numbers["train"]


def test_the_categories_of_tumorseg_are_classes_by_their_names(shared_data: Path, brain: Brain) -> None:
    data = brain(shared_data / "tumorseg", out_channels=3, classes=["background", "0", "1"])
    names = {id_: sample.labels.get("category") for sample in data.samples() for id_ in [sample.id]}
    for index, (id_, *_) in enumerate(data.split_table()[:20]):
        classes = {"0": [0, 1], "1": [0, 2], None: [0]}
        assert data.item(index)["target"].unique().tolist() == classes[names[id_]]


def test_brain_polygons_has_true_outlines_several_a_picture_and_copies_of_one_stem(
    shared_data: Path, brain: Brain, caplog: pytest.LogCaptureFixture
) -> None:
    data = brain(shared_data / "brain_polygons")
    samples = data.samples()
    assert {part: sum(sample.part == part for sample in samples) for part in ("train", "val", "test")} == {
        "train": 154,
        "val": 20,
        "test": 4,
    }
    assert len({sample.group for sample in samples}) == 110
    assert caplog.text == ""
    item = data.item(
        [id_ for id_, *_ in data.split_table()].index("test/217_jpg.rf.3bd02c57a72f11dbb4275ccaad157d65.jpg")
    )
    rows, columns = np.nonzero(item["target"].numpy())
    assert (columns.min(), rows.min()) == (156, 93)  # bbox [156, 93, 58, 56]
    assert (columns.max(), rows.max()) == (156 + 58 - 1, 93 + 56 - 1)


def test_slices_of_real_patients_are_pairs_that_match_their_files(shared_data: Path, brain: Brain) -> None:
    root = shared_data / "lgg/kaggle_3m"
    data = brain(root)
    index = [sample.empty for sample in sorted(data.samples())].index(False)
    item = data.item(index)
    with Image.open(root / item["id"]) as image, Image.open(root / item["id"].replace(".tif", "_mask.tif")) as mask:
        assert np.array_equal(item["image"].numpy().transpose(1, 2, 0), np.asarray(image))
        assert np.array_equal(item["target"].numpy(), np.asarray(mask) > 0)
