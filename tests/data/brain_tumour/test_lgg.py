import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segfield.data.brain_tumour import BrainTumour

Brain = Callable[..., BrainTumour]
Write = Callable[..., Path]
A, B = "TCGA_AA_0001_20000101", "TCGA_BB_0002_20000202"


@pytest.fixture
def root(tmp_path: Path, write_lgg: Write) -> Path:
    return write_lgg(tmp_path / "kaggle_3m", {A: 12, B: 3})


def test_slices_are_pairs_that_match_their_files_and_masks_are_no_slices(root: Path, brain: Brain) -> None:
    data = brain(root)
    assert len(data.split_table()) == 15
    assert not any("mask" in id_ for id_, *_ in data.split_table())
    item = data.item([id_ for id_, *_ in data.split_table()].index(f"{A}/{A}_12.tif"))
    assert (item["image"].dtype, tuple(item["image"].shape)) == (torch.uint8, (3, 24, 16))
    assert item["image"][:, 10, 8].tolist() == [120, 240, 255]
    assert item["target"].unique().tolist() == [0, 1]
    assert item["target"].sum() == 12


def test_slices_are_listed_in_the_order_of_their_numbers(root: Path, brain: Brain) -> None:
    numbers = [int(sample.id.rpartition("_")[2][:-4]) for sample in brain(root).samples() if sample.group == A]
    assert numbers == list(range(1, 13))


def test_the_group_is_the_patient_with_its_date_and_no_patient_is_in_both_parts(root: Path, brain: Brain) -> None:
    parts = {(group, part) for _, group, part in brain(root, val_fraction=0.5).split_table()}
    assert {group for group, _ in parts} == {A, B}
    assert len(parts) == 2


def test_patients_of_data_csv_are_found_without_the_date_of_their_folder(root: Path, brain: Brain) -> None:
    labels = {sample.group: dict(sample.labels) for sample in brain(root).samples()}
    assert labels[B] == {"RNASeqCluster": "2", "histological_type": "1", "neoplasm_histologic_grade": "2"}


@pytest.mark.parametrize("content", [None, "id,year\n1,2\n", "\x00\xff"])
def test_without_a_table_of_patients_there_are_no_labels(
    root: Path, brain: Brain, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "data.csv").unlink()
    if content is not None:
        (root / "data.csv").write_bytes(content.encode("latin-1"))
    assert not any(sample.labels for sample in brain(root).samples())
    assert ("cannot be read as the patients' table" in caplog.text) == (content is not None)


def test_empty_masks_are_known_before_the_split_and_not_looked_for_in_a_frozen_one(root: Path, brain: Brain) -> None:
    data = brain(root)
    empty = {sample.id: sample.empty for sample in data.samples()}
    assert (empty[f"{A}/{A}_1.tif"], empty[f"{A}/{A}_2.tif"]) == (True, False)
    frozen = BrainTumour(in_channels=3, batch_size=2, root=str(root))
    frozen.keep_split(data.split_table())
    assert {sample.empty for sample in frozen.samples()} == {None}


def test_a_mask_that_cannot_be_read_is_told_when_its_slice_is(root: Path, brain: Brain) -> None:
    (root / A / f"{A}_1_mask.tif").write_bytes(b"II*\x00")
    data = brain(root)
    assert data.samples()[0].empty is None
    with pytest.raises(ValueError, match=rf"{A}_1_mask\.tif is damaged|{A}_1_mask\.tif is no image"):
        data.item([id_ for id_, *_ in data.split_table()].index(f"{A}/{A}_1.tif"))


@pytest.mark.parametrize("above", ["", "..", "../.."])
def test_the_root_may_be_kaggle_3m_or_a_folder_above_it(
    tmp_path: Path, write_lgg: Write, brain: Brain, above: str
) -> None:
    deep = write_lgg(tmp_path / "download/lgg-mri-segmentation/kaggle_3m", {A: 2, B: 2})
    root = (deep / above).resolve()
    table = brain(root).split_table()
    assert {group for _, group, _ in table} == {A, B}
    assert all((root / id_).is_file() for id_, *_ in table)


def test_a_tree_that_is_there_twice_is_used_once_and_said(
    root: Path, brain: Brain, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(root, root.parent / "lgg-mri-segmentation" / "kaggle_3m")
    table = brain(root.parent).split_table()
    assert len(table) == 15
    assert all(id_.startswith("kaggle_3m/") for id_, *_ in table)
    nested = root.parent / "lgg-mri-segmentation/kaggle_3m"
    assert f"2 patients are there twice, in {root} and in {nested}: only what is in the first is used" in caplog.text


def test_the_whole_one_of_two_copies_is_used(root: Path, brain: Brain) -> None:
    shutil.copytree(root, root.parent / "z" / "kaggle_3m")
    for number in (2, 3):
        for ending in (".tif", "_mask.tif"):
            (root / A / f"{A}_{number}{ending}").unlink()
    table = brain(root.parent).split_table()
    assert len(table) == 15
    assert {id_.partition("/")[0] for id_, group, _ in table if group == A} == {"z"}


def test_slices_without_masks_are_counted_and_named(root: Path, brain: Brain) -> None:
    for number in (2, 10):
        (root / A / f"{A}_{number}_mask.tif").unlink()
    with pytest.raises(
        ValueError, match=rf"2 of 15 slices in .* have no .*first {A}/{A}_2\.tif, {A}/{A}_10\.tif\. Add"
    ):
        brain(root)


def test_masks_without_slices_are_a_warning(root: Path, brain: Brain, caplog: pytest.LogCaptureFixture) -> None:
    (root / A / f"{A}_3.tif").unlink()
    assert len(brain(root).split_table()) == 14
    assert f"1 masks in {root} have no image, first {A}/{A}_3_mask.tif: left out" in caplog.text


def test_an_audit_is_told_of_both_and_goes_on_with_the_others(root: Path) -> None:
    (root / A / f"{A}_2_mask.tif").unlink()
    (root / A / f"{A}_3.tif").unlink()
    data = BrainTumour(in_channels=3, batch_size=2, root=str(root))
    data.findings = {}
    assert len(data.samples()) == 13
    assert data.findings == {"missing": [f"{A}/{A}_2.tif"], "orphaned": [f"{A}/{A}_3_mask.tif"]}


def test_two_files_of_one_slice_are_refused(root: Path, brain: Brain) -> None:
    shutil.copy(root / A / f"{A}_3.tif", root / A / f"{A}_03.tif")
    with pytest.raises(ValueError, match=rf"{A} has both {A}_03\.tif and {A}_3\.tif: which one counts"):
        brain(root)
    audited = BrainTumour(in_channels=3, batch_size=2, root=str(root))
    audited.findings = {}
    assert len(audited.samples()) == 15
    assert audited.findings == {"duplicate": [f"{A}/{A}_3.tif"]}


def test_a_mask_of_another_size_is_named_with_its_image(root: Path, brain: Brain) -> None:
    Image.new("L", (8, 8)).save(root / A / f"{A}_1_mask.tif")
    with pytest.raises(ValueError, match=rf"{A}_1\.tif is 24x16 but its mask .*{A}_1_mask\.tif is 8x8 \(HxW\)"):
        brain(root, size=[8, 8]).item(0)


def test_grey_masks_are_refused(root: Path, brain: Brain) -> None:
    Image.fromarray(np.arange(24 * 16, dtype=np.uint8).reshape(24, 16)).save(root / A / f"{A}_1_mask.tif")
    with pytest.raises(ValueError, match=r"_1_mask\.tif holds 256 values from 0 to 255; a binary mask holds"):
        brain(root).item(0)


def test_masks_of_zero_and_one_are_read_like_those_of_zero_and_255(
    root: Path, tmp_path: Path, brain: Brain, write_lgg: Write
) -> None:
    ones = brain(write_lgg(tmp_path / "ones", {A: 12, B: 3}, top=1))
    targets = [[data.item(index)["target"] for index in range(15)] for data in (brain(root), ones)]
    assert all(torch.equal(a, b) for a, b in zip(*targets, strict=True))


def test_flair_is_the_second_channel(root: Path, brain: Brain) -> None:
    item = brain(root, channels="flair", in_channels=1).item(0)
    assert tuple(item["image"].shape) == (1, 24, 16)
    assert item["image"][0, 10, 8] == 20


def test_a_picture_to_predict_is_read_as_in_training(root: Path, brain: Brain) -> None:
    settings = ({}, {"channels": "flair", "in_channels": 1}, {"intensity": "image"}, {"intensity": "volume"})
    for setting in settings:
        data = brain(root, size=[12, 12], **setting)
        picture = data.read_picture(root / f"{A}/{A}_1.tif", [12, 12])
        assert np.array_equal(picture, data.item(0)["image"].numpy()), setting
