"""MATLAB files that are none, damaged, or hold something else."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from segfield.data.brain_tumour import BrainTumour
from segfield.data.brain_tumour.figshare import read_folds, read_pair
from segfield.data.brain_tumour.mat import fields, is_v73

Write = Callable[..., Path]


@pytest.mark.parametrize(("version", "expected"), [("v7.3", True), ("plain HDF5", True), ("v5", False)])
def test_v5_and_v73_are_told_apart_by_their_content(
    tmp_path: Path, write_slice: Write, version: str, expected: bool
) -> None:
    assert is_v73(write_slice(tmp_path / "1.mat", version)) is expected


@pytest.mark.parametrize("version", ["v7.3", "v5"])
def test_a_file_without_cjdata_says_what_it_holds(tmp_path: Path, version: str) -> None:
    path = tmp_path / "1.mat"
    if version == "v5":
        scipy.io.savemat(path, {"label": np.ones(3), "other": 1})
    else:
        with h5py.File(path, "w") as file:
            file["label"], file["other"] = np.ones(3), 1
    with pytest.raises(ValueError, match=r"1\.mat: expected cjdata, found label, other\."):
        read_pair(path)


@pytest.mark.parametrize("version", ["v7.3", "v5"])
def test_a_cjdata_without_a_field_says_what_it_holds(tmp_path: Path, version: str) -> None:
    path = tmp_path / "1.mat"
    if version == "v5":
        scipy.io.savemat(path, {"cjdata": {"image": np.ones((2, 2)), "label": 1}})
    else:
        with h5py.File(path, "w") as file:
            file["cjdata/image"], file["cjdata/label"] = np.ones((2, 2)), 1
    with pytest.raises(ValueError, match=r"1\.mat: expected cjdata to hold tumorMask, found image, label\."):
        read_pair(path)


def damage_half(path: Path) -> str:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return r"is damaged or cut short: .*Copy or download it again"


def damage_header(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:300])
    return r"is damaged or cut short"


def damage_empty(path: Path) -> str:
    path.write_bytes(b"")
    return r"is empty \(0 bytes\)"


def damage_pointer(path: Path) -> str:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    return r"is a Git LFS pointer.*git lfs pull"


def damage_page(path: Path) -> str:
    path.write_text("<!DOCTYPE html>" + " " * 600)
    return r"is no MATLAB file of v5 or v7\.3: it begins with b'<!DOCTYPE html>"


@pytest.mark.parametrize("damage", [damage_half, damage_header, damage_empty, damage_pointer, damage_page])
@pytest.mark.parametrize("version", ["v7.3", "v5"])
def test_a_damaged_file_is_named_when_the_data_is_listed(
    tmp_path: Path, write_slice: Write, damage: Callable[[Path], str], version: str
) -> None:
    for number in (1, 2, 3):
        write_slice(tmp_path / f"{number}.mat", version, patient=f"p{number}")
    message = damage(tmp_path / "2.mat")
    data = BrainTumour(in_channels=1, batch_size=2, root=str(tmp_path))
    with pytest.raises(ValueError, match=rf"2\.mat {message}"):
        data.setup()
    audited = BrainTumour(in_channels=1, batch_size=2, root=str(tmp_path))
    audited.findings = {}
    audited.setup()
    assert audited.findings == {"unreadable": ["2.mat"]}
    assert len(audited.split_table()) == 2


def test_several_damaged_files_are_counted(tmp_path: Path, write_slice: Write) -> None:
    for number in (1, 2, 3):
        damage_empty(write_slice(tmp_path / f"{number}.mat"))
    with pytest.raises(ValueError, match=r"1\.mat is empty .* 3 of 3 slices cannot be used"):
        BrainTumour(in_channels=1, batch_size=2, root=str(tmp_path)).setup()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": [[4.0]]}, r"cjdata\.label is \[4\.0\], expected one of 1 meningioma, 2 glioma, 3 pituitary"),
        ({"label": [[1.0, 2.0]]}, r"cjdata\.label is \[1\.0, 2\.0\]"),
        ({"patient": " "}, r"cjdata\.PID is empty"),
    ],
)
def test_a_label_or_a_patient_that_is_none_is_named(
    tmp_path: Path, write_slice: Write, change: dict[str, Any], message: str
) -> None:
    write_slice(tmp_path / "1.mat", **change)
    with pytest.raises(ValueError, match=rf"1\.mat: {message}"):
        BrainTumour(in_channels=1, batch_size=2, root=str(tmp_path)).setup()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tumorMask": np.zeros((16, 24))}, r"1\.mat: cjdata\.image is 24x16 but its mask cjdata\.tumorMask is 16x24"),
        ({"tumorMask": np.full((24, 16), 3, np.uint8)}, r"tumorMask holds 1 values from 3 to 3; a binary mask holds"),
        ({"image": np.full((24, 16), np.nan)}, r"cjdata\.image has shape \(24, 16\) of float64, expected numbers"),
        ({"image": np.zeros((2, 3, 4), np.int16)}, r"cjdata\.image has shape"),
    ],
)
@pytest.mark.parametrize("version", ["v7.3", "v5"])
def test_an_image_or_a_mask_that_is_none_is_named(
    tmp_path: Path, write_slice: Write, change: dict[str, Any], message: str, version: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_pair(write_slice(tmp_path / "1.mat", version, **change))


def test_a_link_to_another_file_is_not_followed(tmp_path: Path, write_slice: Write) -> None:
    other = write_slice(tmp_path / "other/1.mat")
    with h5py.File(tmp_path / "1.mat", "w") as file:
        file["cjdata"] = h5py.ExternalLink(str(other), "cjdata")
    with pytest.raises(ValueError, match=r"expected cjdata, found cjdata"):
        read_pair(tmp_path / "1.mat")


def test_a_field_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "1.mat", "w") as file:
        file.create_dataset("cvind", shape=(2**40,), dtype="f8", chunks=(1024,))
    with pytest.raises(ValueError, match=r"cvind has 1099511627776 numbers; at most 134217728 are read at once"):
        read_folds(tmp_path / "1.mat")


def test_figshares_own_index_files_are_read_each_in_its_version(shared_data: Path) -> None:
    folder = shared_data / "figshare_index"
    folds = read_folds(folder / "cvind5fold.mat")
    assert len(folds) == 3064
    assert [folds.count(fold) for fold in (1, 2, 3, 4, 5)] == [570, 655, 562, 613, 664]
    labels = fields(folder / "label.mat", ["label"])["label"]
    assert labels.shape == (3064, 1)
    assert np.bincount(labels.ravel()).tolist() == [0, 708, 1426, 930]
    assert (is_v73(folder / "cvind5fold.mat"), is_v73(folder / "label.mat")) == (True, False)
    with pytest.raises(ValueError, match=r"label\.mat: expected cvind, found label"):
        read_folds(folder / "label.mat")


def test_the_suffix_does_not_decide(tmp_path: Path, shared_data: Path) -> None:
    copy = shutil.copy(shared_data / "figshare_index/cvind5fold.mat", tmp_path / "folds.txt")
    assert len(read_folds(Path(copy))) == 3064
