"""Carvana beyond pairs: the table of cars, which photographs are used, what an audit is told."""

import logging
import shutil
from pathlib import Path

import pytest

from segfield.data.carvana import Carvana
from segfield.data.demo import prepare_carvana
from segfield.data.sample import Sample

HEADER = "id,year,make,model,trim1,trim2\n"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "carvana"
    prepare_carvana(folder, cars=2, views=2, size=(32, 48), test_cars=1)
    return folder


@pytest.fixture
def root(demo: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return Path(shutil.copytree(demo, tmp_path / "carvana"))


def carvana(root: Path, **settings: object) -> Carvana:
    return Carvana(**{"in_channels": 3, "batch_size": 2, "root": str(root), **settings})


def listed(root: Path, **settings: object) -> list[Sample]:
    return sorted(carvana(root, **settings).samples(), key=lambda sample: sample.id)


def test_a_sample_carries_its_cars_row_of_metadata_csv(demo: Path) -> None:
    rows = (line.split(",") for line in (demo / "metadata.csv").read_text().splitlines()[1:])
    about = {car: others for car, *others in rows}
    for sample in listed(demo):
        assert list(sample.labels.values())[:3] == about[sample.group][:3]
        assert list(sample.labels) == ["year", "make", "model", "trim1", "trim2"]


def test_quoted_fields_may_hold_commas_and_be_empty(root: Path) -> None:
    cars = sorted({sample.group for sample in listed(root)})
    rows = f'"{cars[0]}","2012","Acura","TL","Base, w/SE","4dr ""Sedan"""\n{cars[1]},2009,Kia,,,\n'
    (root / "metadata.csv").write_text("\ufeff" + HEADER + rows)
    first, second = (next(s.labels for s in listed(root) if s.group == car) for car in cars)
    assert (first["trim1"], first["trim2"]) == ("Base, w/SE", '4dr "Sedan"')
    assert (second["make"], second["model"]) == ("Kia", "")


def test_cars_without_a_row_are_counted_and_have_no_labels(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    cars = sorted({sample.group for sample in listed(root)})
    (root / "metadata.csv").write_text(f"{HEADER}{cars[0]},2012,Acura,TL,a,b\n")
    assert [bool(sample.labels) for sample in listed(root)] == [True, True, False, False]
    assert f"metadata.csv has no row of 1 of the 2 cars, first {cars[1]}" in caplog.text


@pytest.mark.parametrize("content", [b"img,rle_mask\nx,1 1\n", b"version https://git-lfs\n", b"\xff\xfe\x00", b""])
def test_another_file_of_the_name_metadata_csv_is_told_and_left(
    root: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "metadata.csv").write_bytes(content)
    assert not any(sample.labels for sample in listed(root))
    assert "metadata.csv" in caplog.text
    assert "cars have no labels" in caplog.text


def test_a_root_without_the_table_is_silent(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "metadata.csv").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(listed(root)) == 4
    assert caplog.text == ""


@pytest.mark.parametrize("folder", ["train", "train_hq"])
def test_the_photographs_are_chosen_where_both_are_there(root: Path, folder: str) -> None:
    shutil.copytree(root / "train", root / "train_hq")
    assert {sample.id.partition("/")[0] for sample in listed(root, photographs=folder)} == {folder}
    assert {sample.id.partition("/")[0] for sample in listed(root)} == {"train"}
    assert {sample.attributes["mask"].parent.name for sample in listed(root, photographs=folder)} == {"train_masks"}


def test_chosen_photographs_that_are_not_there_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no cars at all in .*carvana/train_hq"):
        listed(root, photographs="train_hq")


def test_photographs_of_another_name_are_refused(root: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.photographs=test is none of train, train_hq\. Leave it null"):
        listed(root, photographs="test")


def test_an_audit_is_told_of_missing_and_orphaned_masks_instead_of_an_error(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photographs, masks = (sorted((root / folder).iterdir()) for folder in ("train", "train_masks"))
    masks[0].unlink()
    photographs[3].unlink()
    data = carvana(root)
    data.findings = {}
    assert len(data.samples()) == 2
    assert data.findings == {"missing": [str(photographs[0])], "orphaned": [str(masks[3])]}
    assert "have no photograph" not in caplog.text
