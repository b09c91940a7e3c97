"""Predictions in files. On several processes: tests/task/test_ranks.py."""

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor, nn
from torchmetrics import MetricCollection

from segfield.callbacks.predictions import PredictionWriter
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample
from segfield.losses import BCEDice
from segfield.metrics import Dice
from segfield.models.unet import UNet
from segfield.task import PixelwiseTask

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
    # Ours gives every sample once.
    pytest.mark.filterwarnings("ignore:You are using a custom batch sampler `EpochBatches` for prediction"),
]
Forked = Callable[[Callable[[], object]], tuple[int, str]]


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Scans(PixelwiseData):
    """Noise of one channel, in folders of patients."""

    in_channels: int = 1
    batch_size: int = 4
    test_fraction: float = 0.4
    names: tuple[str, ...] = tuple(f"patient {n // 3}/{n:02d}.tif" for n in range(15))
    side: int = 16

    def samples(self) -> list[Sample]:
        return [Sample(name, f"patient {number // 3}", {"number": number}) for number, name in enumerate(self.names)]

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(sample.attributes["number"])
        image = rng.integers(0, 256, (1, self.side, self.side), dtype=np.uint8)
        return {"image": image, "target": np.zeros((self.side, self.side), np.uint8)}

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        raise AssertionError("nobody asks for a picture here")


class Logit(nn.Module):
    """The probability of a pixel is its brightness, between 0 and 1."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.logit(image)


def task_of(
    network: nn.Module | None = None, threshold: float = 0.5, activation: nn.Module | None = None
) -> PixelwiseTask:
    return PixelwiseTask(
        model=network or Logit(),
        loss=BCEDice(),
        metrics=MetricCollection({"dice": Dice()}),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        activation=activation or nn.Sigmoid(),
        monitor="val/dice",
        mode="max",
        threshold=threshold,
    )


def predict(folder: Path, writer: PredictionWriter, task: PixelwiseTask | None = None, **settings: Any) -> Scans:
    """Predict in a folder, as an execution does."""
    data = Scans(**settings)
    trainer = pl.Trainer(
        accelerator="cpu", callbacks=[writer], logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    with contextlib.chdir(folder):
        trainer.predict(task or task_of(), datamodule=data, return_predictions=False)
    return data


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        return np.array(file)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def named() -> list[str]:
    """Names of the files that a prediction writes."""
    data = Scans()
    data.setup()
    return [f"predictions/{id_}.png" for id_, _, part in data.split_table() if part == "test"]


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_a_mask_is_255_where_the_probability_is_above_the_threshold(tmp_path: Path, threshold: float) -> None:
    data = predict(tmp_path, PredictionWriter(), task_of(threshold=threshold))
    for index in data.indices("test"):
        item = data.item(index)
        with Image.open(tmp_path / f"predictions/{item['id']}.png") as file:
            assert (file.format, file.mode) == ("PNG", "L")
        brightness = item["image"][0].numpy() / 255
        assert (pixels(tmp_path / f"predictions/{item['id']}.png") == np.where(brightness > threshold, 255, 0)).all()


def test_every_sample_of_the_test_part_has_its_file_in_the_folders_of_its_id(tmp_path: Path) -> None:
    data = predict(tmp_path, PredictionWriter())
    ids = [data.item(index)["id"] for index in data.indices("test")]
    assert files(tmp_path) == [f"predictions/{id_}.png" for id_ in ids]
    assert len(ids) == 6
    assert all("/" in id_ for id_ in ids)


def test_probabilities_are_written_as_16_bits_on_request(tmp_path: Path) -> None:
    data = predict(tmp_path, PredictionWriter("masks", "probabilities"))
    for index in data.indices("test"):
        item = data.item(index)
        found = pixels(tmp_path / f"probabilities/{item['id']}.png")
        assert found.dtype == np.uint16
        np.testing.assert_allclose(found, item["image"][0].numpy() / 255 * 65535, atol=1)
        assert ((found > 0.5 * 65535) == (pixels(tmp_path / f"masks/{item['id']}.png") == 255)).all()


def test_logits_smaller_than_the_image_give_a_file_of_their_size(tmp_path: Path) -> None:
    network = UNet(1, 1, width=4, depth=1, padding="valid", border="none")
    data = predict(tmp_path, PredictionWriter(), task_of(network), side=32)
    path = tmp_path / f"predictions/{data.split_table()[data.indices('test')[0]][0]}.png"
    assert pixels(path).shape == (16, 16)


def test_files_that_stand_are_left_and_the_others_are_written(tmp_path: Path) -> None:
    first, *others = [tmp_path / name for name in sorted(named())]
    first.parent.mkdir(parents=True)
    first.write_bytes(b"of yesterday")
    predict(tmp_path, PredictionWriter())
    assert first.read_bytes() == b"of yesterday"
    assert all(pixels(path).shape == (16, 16) for path in others)


def test_files_that_stand_are_written_anew_on_request(tmp_path: Path) -> None:
    for name in named():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"of yesterday")
    predict(tmp_path, PredictionWriter(overwrite=True))
    assert all(pixels(tmp_path / name).shape == (16, 16) for name in named())


def test_a_prediction_that_is_killed_leaves_whole_files_and_goes_on(
    tmp_path: Path, forked: Forked, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, count = Image.Image.save, 0

    def killing(image: Image.Image, file: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        if count == 4:
            file.write(b"half of a")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        save(image, file, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", killing)
        assert forked(lambda: predict(tmp_path, PredictionWriter())) == (-signal.SIGKILL, "")
    stale = [name for name in files(tmp_path) if name.endswith(".tmp")]
    assert len(stale) == 1
    written = {name: (tmp_path / name).stat().st_mtime_ns for name in files(tmp_path) if name.endswith(".png")}
    assert len(written) == 3
    predict(tmp_path, PredictionWriter())
    assert [name for name in files(tmp_path) if name.startswith("predictions")] == sorted(named())
    assert all((tmp_path / name).stat().st_mtime_ns == when for name, when in written.items())


@pytest.mark.parametrize("name", ["../mask", "/tmp/mask", "a/../../mask", "a/../mask", "link/mask"])
def test_an_id_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "run/predictions").mkdir(parents=True)
    (tmp_path / "run/predictions/link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match=rf"The sample id '{name}' leads out of predictions/, .* Rename the sample"):
        predict(tmp_path / "run", PredictionWriter(), names=(name, *Scans.names[1:]), test_fraction=0.6)
    assert not (tmp_path / "mask.png").exists()


class Levels(nn.Module):
    """Three classes: dark, grey, bright."""

    def forward(self, image: Tensor) -> Tensor:
        return 40 * torch.cat((1 / 3 - image, torch.zeros_like(image), image - 2 / 3), 1)


CLASSES = {"out_channels": 3, "classes": ["dark", "grey", "bright"], "colours": ["#000000", "#e69f00", "#56b4e9"]}


def test_of_several_classes_the_likeliest_is_written_as_a_number_shown_in_its_colour(tmp_path: Path) -> None:
    task = task_of(Levels(), activation=nn.Softmax(1))
    data = predict(tmp_path, PredictionWriter(probabilities="probabilities"), task, **CLASSES)
    for index in data.indices("test"):
        item = data.item(index)
        path = tmp_path / f"predictions/{item['id']}.png"
        brightness = item["image"][0].numpy()
        expected = np.digitize(brightness, [85, 170], right=True)
        sure = ~np.isin(brightness, [85, 170])
        assert (pixels(path) == expected)[sure].all()
        with Image.open(path) as file:
            assert (file.format, file.mode) == ("PNG", "P")
            shown = np.asarray(file.convert("RGB"))
        assert (shown == np.array([[0, 0, 0], [0xE6, 0x9F, 0], [0x56, 0xB4, 0xE9]])[pixels(path)]).all()
        parts = [pixels(tmp_path / f"probabilities/{name}/{item['id']}.png") for name in data.classes]
        assert (np.argmax(parts, 0) == pixels(path))[sure].all()
        np.testing.assert_allclose(np.sum(parts, 0, dtype=float), 65535, atol=2)


def test_one_folder_for_masks_and_probabilities_is_refused() -> None:
    with pytest.raises(ValueError, match=r"would both be a/<id>\.png: .* Use probabilities=probabilities"):
        PredictionWriter("a", "a/")


def test_training_writes_no_predictions(tmp_path: Path, fit: Callable[..., pl.Trainer]) -> None:
    fit(tmp_path, lambda: [PredictionWriter()], max_epochs=1)
    assert not (tmp_path / "predictions").exists()
