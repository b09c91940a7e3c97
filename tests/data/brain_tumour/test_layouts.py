"""Which layout a folder has, what is said where it has none or two, and which settings fit which layout."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.data.brain_tumour import BrainTumour

Brain = Callable[..., BrainTumour]
Write = Callable[..., Path]
PATIENTS = {"TCGA_AA_0001_20000101": 2, "TCGA_BB_0002_20000101": 2}


@pytest.fixture
def figshare(tmp_path: Path, write_slice: Write) -> Path:
    for number in range(1, 5):
        write_slice(tmp_path / "figshare" / f"{number}.mat", patient=f"p{number % 2}")
    return tmp_path / "figshare"


def test_each_layout_is_recognised_by_its_files_and_said_in_the_log(
    tmp_path: Path, brain: Brain, write_lgg: Write, export: Path, figshare: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lgg = write_lgg(tmp_path / "lgg", PATIENTS)
    for root, layout, count in ((lgg, "lgg", 4), (export, "coco", 4), (figshare, "figshare", 4)):
        with caplog.at_level(logging.INFO):
            data = brain(root, test_fraction=0)
        assert f"layout {layout} in {root}, recognised by its files" in caplog.text
        assert len(data.samples()) == count


def test_two_layouts_in_one_folder_are_refused_and_layout_chooses_one(
    tmp_path: Path, brain: Brain, write_lgg: Write, write_slice: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write_lgg(tmp_path, PATIENTS)
    for number in (1, 2):
        write_slice(tmp_path / f"{number}.mat", patient=f"p{number}")
    with pytest.raises(
        ValueError, match=r"files of lgg \(.* and of figshare \(.*Use data\.layout=lgg or data\.layout=f"
    ):
        brain(tmp_path)
    with caplog.at_level(logging.INFO):
        assert len(brain(tmp_path, layout="figshare").split_table()) == 2
    assert "as data.layout=figshare says" in caplog.text


def test_a_folder_without_a_layout_is_answered_with_what_was_looked_for(tmp_path: Path, brain: Brain) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        brain(tmp_path)
    said = str(caught.value)
    for words in (
        "lgg or coco or figshare",
        "<patient>_<n>_mask.tif",
        "_annotations.coco.json",
        "cjdata",
        "data.root=",
    ):
        assert words in said


def test_a_layout_that_is_not_there_is_named(tmp_path: Path, brain: Brain, write_lgg: Write) -> None:
    write_lgg(tmp_path, PATIENTS)
    with pytest.raises(FileNotFoundError, match=r"no files of coco in"):
        brain(tmp_path, layout="coco")


@pytest.mark.parametrize(("root", "what"), [(None, r"data\.root is not set"), ("nowhere", "there is no folder")])
def test_a_missing_root_is_answered_with_what_to_do(root: str | None, what: str, tmp_path: Path) -> None:
    data = BrainTumour(in_channels=3, batch_size=2, root=root and str(tmp_path / root))
    with pytest.raises(FileNotFoundError, match=rf"{what}.*\$SEGFIELD_DATA/brain_tumour.*data=blobs"):
        data.setup()


def test_a_folder_that_may_not_be_listed_is_named(
    tmp_path: Path, brain: Brain, write_lgg: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lgg(tmp_path, PATIENTS)
    scandir = os.scandir  # root, who runs tests in a container, may list everything

    def denied(path: Any) -> Any:
        if Path(path).name == "TCGA_BB_0002_20000101":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(ValueError, match=r"TCGA_BB_0002_20000101 cannot be listed: Permission denied"):
        brain(tmp_path)


def test_the_order_in_which_a_disk_lists_files_changes_nothing(
    tmp_path: Path, brain: Brain, write_lgg: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lgg(tmp_path, {"TCGA_AA_0001_20000101": 12, "TCGA_BB_0002_20000101": 2})
    before = brain(tmp_path).samples()
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: Any) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> Any:
            return iter(self.entries)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert brain(tmp_path).samples() == before


def test_hidden_folders_and_those_of_a_macs_zip_are_left_alone(tmp_path: Path, brain: Brain, write_lgg: Write) -> None:
    write_lgg(tmp_path / "kaggle_3m", PATIENTS)
    write_lgg(tmp_path / "__MACOSX", {"TCGA_CC_0003_20000101": 2})
    write_lgg(tmp_path / ".trash", {"TCGA_DD_0004_20000101": 2})
    assert {group for _, group, _ in brain(tmp_path).split_table()} == set(PATIENTS)


def test_flair_alone_needs_one_channel() -> None:
    with pytest.raises(
        ValueError, match=r"channels=flair is one channel, data\.in_channels is 3.*in_channels=1, or data="
    ):
        BrainTumour(in_channels=3, batch_size=2, channels="flair")


@pytest.mark.parametrize("percentiles", [[10], [99, 10], [0, 101], [50, 50]])
def test_percentiles_are_two_numbers_in_order(percentiles: list[float]) -> None:
    with pytest.raises(ValueError, match=r"data\.percentiles=.* must be two numbers from 0 to 100"):
        BrainTumour(in_channels=3, batch_size=2, percentiles=percentiles)


@pytest.mark.parametrize(
    ("layout", "settings", "message"),
    [
        ("lgg", {"in_channels": 1}, r"lgg has 3 channels; .*Use data\.in_channels=3"),
        (
            "lgg",
            {"out_channels": 4, "classes": list("abcd")},
            r"lgg has one kind of tumour; .*Use data\.out_channels=1",
        ),
        ("lgg", {"fold_file": "cvind.mat"}, r"lgg has no data\.fold_file; .*Use data\.folds=5"),
        ("coco", {"channels": "flair", "in_channels": 1}, r"coco has no FLAIR channel; .*Use data\.channels=all"),
        ("coco", {"intensity": "volume"}, r"coco has no volumes; .*Use data\.intensity=file"),
        ("figshare", {"channels": "flair", "in_channels": 1}, "figshare has no FLAIR channel"),
        ("figshare", {"intensity": "file"}, r"figshare has intensities without a common range; .*intensity=image"),
        ("figshare", {"in_channels": 2}, r"figshare has 1 channel, which may be repeated; .*in_channels=1 or 3"),
        (
            "figshare",
            {"out_channels": 3, "classes": list("abc")},
            r"figshare has 3 kinds of tumour .*data=brain_tumour_classes",
        ),
    ],
)
def test_settings_that_a_layout_has_not_are_refused_with_the_fix(
    layout: str, settings: dict[str, Any], message: str, tmp_path: Path, write_lgg: Write, export: Path, figshare: Path
) -> None:
    roots = {"coco": export, "figshare": figshare}
    root = roots.get(layout) or write_lgg(tmp_path / "lgg", PATIENTS)
    data = BrainTumour(**{"in_channels": 3, "batch_size": 2, "root": str(root), **settings})
    with pytest.raises(ValueError, match=message):
        data.setup()
