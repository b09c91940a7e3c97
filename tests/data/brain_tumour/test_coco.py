import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segfield.data.brain_tumour import BrainTumour

Brain = Callable[..., BrainTumour]
Write = Callable[..., Path]
TRIANGLE = [[2, 2, 12, 2, 2, 20]]
BOX = [[2, 2, 12, 2, 12, 20, 2, 20, 2, 2]]
CLASSES = {"out_channels": 3, "classes": ["background", "glioma", "meningioma"]}


def parts(data: BrainTumour) -> dict[str, str | None]:
    return {sample.id: sample.part for sample in data.samples()}


def folds_file(path: Path, folds: list[int]) -> Path:
    from scipy.io import savemat

    savemat(path, {"cvind": np.array([folds], float)})
    return path


@pytest.mark.parametrize("name", ["valid", "val"])
def test_the_exports_own_parts_are_known_whether_validation_is_called_valid_or_val(
    export: Path, brain: Brain, name: str
) -> None:
    (export / "valid").rename(export / name)
    assert parts(brain(export)) == {
        "test/d_jpg.rf.0a.jpg": "test",
        "train/a_jpg.rf.0a.jpg": "train",
        "train/b_jpg.rf.0a.jpg": "train",
        f"{name}/c_jpg.rf.0a.jpg": "val",
    }


def test_two_folders_of_one_part_are_refused(export: Path, brain: Brain) -> None:
    shutil.copytree(export / "valid", export / "val")
    with pytest.raises(ValueError, match=r"Two folders are the same part: \S*/val, \S*/valid\. Remove"):
        brain(export)


def test_two_exports_in_one_folder_are_refused(export: Path, brain: Brain) -> None:
    shutil.copytree(export, export.parent / "other")
    with pytest.raises(ValueError, match=r"holds 2 COCO exports: .*export, .*other\. Name one of them by data\.root"):
        brain(export.parent)


def test_an_export_of_one_part_is_split_by_us(export: Path, brain: Brain) -> None:
    assert set(parts(brain(export / "train")).values()) == {None}


def test_a_picture_and_its_augmented_copies_are_one_group(tmp_path: Path, brain: Brain, write_coco: Write) -> None:
    names = ["12_jpg.rf.0a.jpg", "12_jpg.rf.0b.jpg", "scan_3.png.rf.XyZ1.jpg", "plain.jpg"]
    write_coco(tmp_path / "train", {name: [(1, TRIANGLE)] for name in names})
    assert [sample.group for sample in brain(tmp_path).samples()] == ["12", "12", "scan_3", "plain"]


def test_pictures_without_annotations_have_empty_masks_and_others_may_have_several(
    tmp_path: Path, brain: Brain, write_coco: Write
) -> None:
    boxes = [[x, 2, x + 2, 2, x + 2, 8, x, 8] for x in (0, 3, 6, 9, 12)]
    write_coco(tmp_path / "train", {"a.jpg": [], "b.jpg": [(1, [box]) for box in boxes]})
    data = brain(tmp_path)
    assert [sample.empty for sample in data.samples()] == [True, False]
    assert [int(data.item(index)["target"].sum()) for index in (0, 1)] == [0, 5 * 2 * 6]


def test_any_category_is_tumour_where_there_are_no_classes(tmp_path: Path, brain: Brain, write_coco: Write) -> None:
    write_coco(tmp_path / "train", {"a.jpg": [(1, TRIANGLE)], "b.jpg": [(2, TRIANGLE)]})
    for settings in ({}, {"out_channels": 2}):
        data = brain(tmp_path, **settings)
        assert [data.item(index)["target"].max() for index in (0, 1)] == [1, 1]


def test_categories_become_the_class_of_their_name(tmp_path: Path, brain: Brain, write_coco: Write) -> None:
    write_coco(tmp_path / "train", {"a.jpg": [(1, TRIANGLE)], "b.jpg": [(2, TRIANGLE)]})
    data = brain(tmp_path, out_channels=3, classes=["background", "meningioma", "glioma"])
    assert [data.item(index)["target"].max() for index in (0, 1)] == [2, 1]
    assert [dict(sample.labels) for sample in data.samples()] == [{"category": "glioma"}, {"category": "meningioma"}]


def test_a_category_beyond_the_classes_is_named_with_its_file_and_the_fix(
    tmp_path: Path, brain: Brain, write_coco: Write
) -> None:
    pictures = {"a.jpg": [(1, TRIANGLE)], "b.jpg": [(2, TRIANGLE)]}
    write_coco(tmp_path / "train", pictures, categories=("Tumor", "a glioma", "meningioma"))
    assert (
        brain(tmp_path, out_channels=3, classes=["background", "a_glioma", "meningioma"]).item(0)["target"].max() == 1
    )
    with pytest.raises(
        ValueError,
        match=r"train/_annotations\.coco\.json: a\.jpg has the category 1 'a glioma', data\.classes knows x, y\. .*"
        r"data\.out_channels=3 'data\.classes=\[background,\"a_glioma\",\"meningioma\"\]'",
    ):
        brain(tmp_path, out_channels=3, classes=["background", "x", "y"])


def test_where_outlines_overlap_the_later_class_wins_in_any_order(
    tmp_path: Path, brain: Brain, write_coco: Write
) -> None:
    outlines = [(2, [[0, 0, 8, 0, 8, 8, 0, 8]]), (1, [[4, 0, 12, 0, 12, 8, 4, 8]])]
    write_coco(tmp_path / "train", {"a.png": outlines, "b.png": outlines[::-1]})
    data = brain(tmp_path, **CLASSES)
    targets = [data.item(index)["target"] for index in (0, 1)]
    assert targets[0][0].tolist() == [2] * 8 + [1] * 4 + [0] * 4
    assert targets[0].equal(targets[1])
    contents = [sample.attributes["annotations"] for sample in data.samples()]
    assert contents[0] == contents[1]


def test_pictures_that_are_listed_but_absent_are_counted_and_the_others_used(
    export: Path, brain: Brain, caplog: pytest.LogCaptureFixture
) -> None:
    (export / "train/a_jpg.rf.0a.jpg").unlink()
    assert len(brain(export).samples()) == 3
    assert "1 of 2 pictures that" in caplog.text
    assert "train/_annotations.coco.json lists are not there, first a_jpg.rf.0a.jpg: left out" in caplog.text


def test_nothing_but_absent_pictures_ends_the_run(export: Path, brain: Brain) -> None:
    for path in export.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"Not one picture that _annotations\.coco\.json lists .*test, train, v"
    ):
        brain(export)


def test_pictures_that_no_json_lists_are_a_warning(
    export: Path, brain: Brain, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(export / "train/a_jpg.rf.0a.jpg", export / "train/new.jpg")
    (export / "train/README.roboflow.txt").write_text("no picture")
    assert len(brain(export).samples()) == 4
    assert f"1 pictures in {export / 'train'} are not in its _annotations.coco.json, first new.jpg" in caplog.text


def test_an_audit_is_told_of_both_by_path(export: Path) -> None:
    (export / "train/a_jpg.rf.0a.jpg").rename(export / "train/new.jpg")
    data = BrainTumour(in_channels=3, batch_size=2, root=str(export))
    data.findings = {}
    data.samples()
    assert data.findings == {"absent": ["train/a_jpg.rf.0a.jpg"], "orphaned": ["train/new.jpg"]}


def test_outlines_that_are_all_rectangles_are_a_loud_warning(
    tmp_path: Path, brain: Brain, write_coco: Write, export: Path, caplog: pytest.LogCaptureFixture
) -> None:
    brain(export)
    assert "RECTANGLES" not in caplog.text
    write_coco(tmp_path / "boxes/train", {"a.jpg": [(1, BOX)], "b.jpg": [(2, BOX)]})
    brain(tmp_path / "boxes")
    warned = [record for record in caplog.records if "RECTANGLES" in record.message]
    assert [record.levelno for record in warned] == [logging.WARNING]
    assert "ALL 2 OUTLINES" in warned[0].message


def test_a_picture_of_another_size_than_the_json_says_is_named(export: Path, brain: Brain) -> None:
    Image.new("RGB", (8, 8)).save(export / "train/a_jpg.rf.0a.jpg")
    data = brain(export, size=[8, 8])
    index = [id_ for id_, *_ in data.split_table()].index("train/a_jpg.rf.0a.jpg")
    with pytest.raises(ValueError, match=r"a_jpg\.rf\.0a\.jpg is 8x8 but _annotations\.coco\.json says 24x16 \(HxW\)"):
        data.item(index)


def neighbours(write_coco: Write, root: Path, train: list[int], test: list[int]) -> Path:
    for part, numbers in (("train", train), ("test", test), ("valid", [2000])):
        write_coco(root / part, {f"{number}_jpg.rf.0a.jpg": [(1, TRIANGLE)] for number in numbers})
    return root


def test_neighbouring_figshare_slices_in_other_parts_are_counted_in_a_warning(
    tmp_path: Path, brain: Brain, write_coco: Write, caplog: pytest.LogCaptureFixture
) -> None:
    root = neighbours(write_coco, tmp_path / "export", [1, 3, 9], [2, 5, 10, 900])
    brain(root)
    assert "2 of the 4 slices listed in test (50 %) have N-1 or N+1 in train" in caplog.text
    assert "data.fold_file=<figshare's cvind.mat>" in caplog.text
    caplog.clear()
    brain(root, folds=2, fold=0)
    assert "N-1" not in caplog.text


@pytest.mark.parametrize("stranger", [0, 3065])
def test_names_that_are_no_numbers_of_figshares_are_not_judged(
    tmp_path: Path, brain: Brain, write_coco: Write, caplog: pytest.LogCaptureFixture, stranger: int
) -> None:
    brain(neighbours(write_coco, tmp_path / "export", [1, 3, stranger], [2, 10]))
    assert "N-1" not in caplog.text


def test_a_fold_file_groups_the_pictures_by_figshares_folds(tmp_path: Path, brain: Brain, write_coco: Write) -> None:
    root = neighbours(write_coco, tmp_path / "export", [1, 2, 3], [4])
    folds = folds_file(tmp_path / "folds.mat", [1, 1, 2, 3, *[3] * 3060])
    data = brain(root, fold_file=str(folds), folds=3, fold=1)
    assert {sample.id.partition("_")[0]: (sample.group, sample.part) for sample in data.samples()} == {
        "train/1": ("fold1", None),
        "train/2": ("fold1", None),
        "train/3": ("fold2", None),
        "test/4": ("fold3", None),
        "valid/2000": ("fold3", None),
    }


def test_a_fold_file_that_lies_in_the_root_is_found_by_its_name(
    tmp_path: Path, brain: Brain, write_coco: Write
) -> None:
    root = neighbours(write_coco, tmp_path / "export", [1, 2], [4])
    folds_file(root / "cvind.mat", [1, 2, 2, 2, *[3] * 3060])
    assert {sample.group for sample in brain(root, fold_file="cvind.mat").samples()} == {"fold1", "fold2", "fold3"}


@pytest.mark.parametrize(
    ("name", "message"),
    [("a_jpg.rf.0a.jpg", r"a_jpg\.rf\.0a\.jpg: data\.fold_file needs names"), ("9.jpg", "slices 1 to 3, not of 9")],
)
def test_a_picture_without_a_fold_is_named(
    tmp_path: Path, brain: Brain, write_coco: Write, name: str, message: str
) -> None:
    write_coco(tmp_path / "train", {name: []})
    folds = folds_file(tmp_path / "folds.mat", [1, 2, 3])
    with pytest.raises(ValueError, match=message):
        brain(tmp_path, fold_file=str(folds))


def test_samples_do_not_depend_on_the_order_of_the_json(export: Path, brain: Brain) -> None:
    before: list[Any] = brain(export).samples()
    path = export / "train/_annotations.coco.json"
    content = json.loads(path.read_text())
    path.write_text(
        json.dumps({name: value[::-1] if isinstance(value, list) else value for name, value in content.items()})
    )
    assert sorted(brain(export).samples()) == sorted(before)


def test_a_picture_to_predict_is_read_as_in_training(export: Path, brain: Brain) -> None:
    for settings in ({}, {"intensity": "image"}, {"in_channels": 1}):
        data = brain(export, size=[12, 12], **settings)
        id_ = data.split_table()[0][0]
        assert np.array_equal(data.read_picture(export / id_, [12, 12]), data.item(0)["image"].numpy())
