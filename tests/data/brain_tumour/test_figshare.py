import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from segfield.data.brain_tumour import BrainTumour

Brain = Callable[..., BrainTumour]
Write = Callable[..., Path]
CLASSES = {"out_channels": 4, "classes": ["background", "meningioma", "glioma", "pituitary"]}


@pytest.fixture
def root(tmp_path: Path, write_slice: Write) -> Path:
    """Slices 1 to 12 of three patients in two folders, as two of the set's zips unpack; of both versions."""
    for number in range(1, 13):
        folder = tmp_path / "figshare" / ("1-6" if number <= 6 else "7-12")
        version = ("v7.3", "v5", "plain HDF5")[number % 3]
        write_slice(folder / f"{number}.mat", version, patient=f"MR{number % 3}", label=[[float(number % 3 + 1)]])
    return tmp_path / "figshare"


def write_folds(path: Path, folds: list[int]) -> Path:
    scipy.io.savemat(path, {"cvind": np.array([folds], float)})
    return path


def test_slices_are_in_the_order_of_their_numbers_and_patients_are_their_groups(
    root: Path, brain: Brain, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        samples = brain(root).samples()
    assert [int(Path(sample.id).stem) for sample in samples] == list(range(1, 13))
    assert samples[0].id == "1-6/1.mat"
    assert [sample.group for sample in samples[:3]] == ["MR1", "MR2", "MR0"]
    assert samples[0].labels == {"patient": "MR1", "tumour": "glioma"}
    assert f"12 slices of 3 patients in {root}" in caplog.text


@pytest.mark.parametrize("version", ["v7.3", "v5", "plain HDF5"])
def test_an_image_lies_as_in_matlab_in_either_version(
    tmp_path: Path, brain: Brain, write_slice: Write, version: str
) -> None:
    for number in (1, 2):
        write_slice(tmp_path / f"{number}.mat", version, patient=f"p{number}")
    item = brain(tmp_path, in_channels=1).item(0)
    assert (item["image"].dtype, tuple(item["image"].shape)) == (torch.uint8, (1, 24, 16))
    assert item["image"][0, 0].tolist() == [round(255 * value / 383) for value in range(16)]
    assert item["image"].flatten()[-1] == 255
    assert item["target"].nonzero().tolist() == [[row, column] for row in range(2, 9) for column in range(3, 6)]


@pytest.mark.parametrize(("image", "low", "high"), [([[-32768, 0], [5, 32767]], 0, 255), ([[7, 7], [7, 7]], 0, 0)])
def test_the_range_of_each_slice_is_stretched_without_overflow(
    tmp_path: Path, brain: Brain, write_slice: Write, image: list[list[int]], low: int, high: int
) -> None:
    mask = np.zeros((2, 2), np.uint8)
    for number in (1, 2):
        write_slice(tmp_path / f"{number}.mat", patient=f"p{number}", image=np.array(image, np.int16), tumorMask=mask)
    item = brain(tmp_path, in_channels=1).item(0)
    assert (item["image"].min(), item["image"].max()) == (low, high)


def test_by_volume_slices_of_a_patient_share_a_range(tmp_path: Path, brain: Brain, write_slice: Write) -> None:
    for number in range(1, 5):
        image = np.tile(np.array([0, 1000 * number], np.int16), (24, 8))
        write_slice(tmp_path / f"{number}.mat", patient=f"p{number % 2}", image=image)
    data = brain(tmp_path, intensity="volume", in_channels=1)
    assert [int(data.item(index)["image"].max()) for index in range(4)] == [85, 128, 255, 255]
    assert data.read_picture(tmp_path / "1.mat", None).max() == 85


def test_slices_of_512_and_of_256_pixels_are_read_at_one_size(tmp_path: Path, brain: Brain, write_slice: Write) -> None:
    for number, side in enumerate((512, 256), start=1):
        image = np.random.default_rng(0).integers(0, 900, (side, side), np.int16)
        mask = np.zeros((side, side), np.uint8)
        mask[: side // 2] = 1
        write_slice(tmp_path / f"{number}.mat", patient=f"p{number}", image=image, tumorMask=mask)
    data = brain(tmp_path, size=[64, 64])
    assert [tuple(data.item(index)["image"].shape) for index in (0, 1)] == [(3, 64, 64)] * 2
    assert [int(data.item(index)["target"].sum()) for index in (0, 1)] == [32 * 64] * 2


def test_one_channel_is_repeated_where_three_are_wanted(root: Path, brain: Brain) -> None:
    image = brain(root).item(0)["image"]
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])


def test_three_classes_are_the_labels_and_one_is_any_tumour(root: Path, brain: Brain) -> None:
    tops = [
        {sample[0]: int(data.item(index)["target"].max()) for index, sample in enumerate(data.split_table())}
        for data in (brain(root), brain(root, **CLASSES))
    ]
    assert set(tops[0].values()) == {1}
    assert [tops[1][f"1-6/{number}.mat"] for number in (1, 2, 3)] == [2, 3, 1]


def test_cvind_beside_the_slices_is_no_slice(root: Path, brain: Brain, caplog: pytest.LogCaptureFixture) -> None:
    for folder in (root, root / "1-6"):
        write_folds(folder / "cvind.mat", [1] * 12)
    assert len(brain(root).samples()) == 12


def test_a_number_that_is_there_twice_is_used_once_and_said(
    root: Path, brain: Brain, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(root / "1-6/3.mat", root / "7-12/3.mat")
    assert [sample.id for sample in brain(root).samples()].count("1-6/3.mat") == 1
    assert "1 slices are there twice: of each number the first file is used" in caplog.text


def test_folds_are_the_groups_where_a_fold_file_is_given(root: Path, brain: Brain) -> None:
    write_folds(root / "cvind.mat", [number % 3 + 1 for number in range(1, 13)])
    samples = brain(root, fold_file="cvind.mat").samples()
    assert [sample.group for sample in samples[:4]] == ["fold2", "fold3", "fold1", "fold2"]


def test_folds_that_cut_a_patient_are_refused(root: Path, brain: Brain) -> None:
    path = write_folds(root / "cvind.mat", [1] * 11 + [2])
    with pytest.raises(ValueError, match="puts patient MR0 in fold1 and fold2: give the set's own"):
        brain(root, fold_file=str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"label": np.ones(3)}, "expected cvind, found label"),
        ({"cvind": np.array([[0.5, 1]])}, "cvind must hold the number of a fold, 1 or more"),
        ({"cvind": np.ones((1, 5))}, r"6\.mat: data\.fold_file has the folds of the slices 1 to 5, not of 6"),
        (None, r"there is no file .*cvind\.mat\. Give the path"),
    ],
)
def test_a_fold_file_of_something_else_is_named(
    root: Path, brain: Brain, tmp_path: Path, content: dict[str, np.ndarray] | None, message: str
) -> None:
    path = tmp_path / "cvind.mat"
    if content is not None:
        scipy.io.savemat(path, content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        brain(root, fold_file=str(path))


def test_a_picture_to_predict_is_read_as_in_training(root: Path, brain: Brain) -> None:
    for settings in ({}, {"in_channels": 1, "percentiles": [1, 99]}, {"intensity": "volume"}):
        data = brain(root, size=[12, 12], **settings)
        id_ = data.split_table()[0][0]
        assert np.array_equal(data.read_picture(root / id_, [12, 12]), data.item(0)["image"].numpy())


def test_patients_are_found_without_reading_the_pixels(tmp_path: Path, brain: Brain, write_slice: Write) -> None:
    for number in (1, 2):
        with h5py.File(write_slice(tmp_path / f"{number}.mat", patient=f"p{number}"), "r+") as file:
            del file["cjdata/image"]
    data = brain(tmp_path)
    with pytest.raises(ValueError, match=r"expected cjdata to hold image, found PID, label"):
        data.item(0)
