from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import Tensor, nn

from segfield.callbacks import panels
from segfield.callbacks.panels import Panels
from segfield.callbacks.trace import Trace
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample
from segfield.models.unet import UNet

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
]

Fit = Callable[..., pl.Trainer]
DRAWN = np.zeros((4, 4, 3), dtype=np.uint8)


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Kept(PixelwiseData):
    """Noise that read() gives again and again as the same arrays, with a map of valid pixels."""

    in_channels: int = 3
    batch_size: int = 4
    floats: bool = False
    arrays: dict[str, dict[str, np.ndarray]] = field(default_factory=dict, init=False)

    def samples(self) -> list[Sample]:
        return [Sample(f"cars/{i:02d}", f"{i:02d}", {"index": i}) for i in range(15)]

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(sample.attributes["index"])
        image = rng.integers(0, 256, (3, 32, 32), dtype=np.uint8)
        made = {
            "image": image.astype(np.float32) / 255 if self.floats else image,
            "target": (image[0] > 127).astype(np.int64),
            "valid": rng.random((1, 32, 32)) > 0.3,
        }
        return self.arrays.setdefault(sample.id, made)

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        raise AssertionError("nobody asks for a picture here")


class Red(nn.Module):
    """The red channel is the logit: above 0 where it is brighter than half."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=True)

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :1] * self.scale


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What panel() is called with, instead of drawing it."""
    calls: list[dict[str, Any]] = []

    def panel(image: Any, truth: Any, prediction: Any, **others: Any) -> np.ndarray:
        calls.append({"image": image, "truth": truth, "prediction": prediction, **others})
        return np.zeros((4, 4, 3), dtype=np.uint8)

    monkeypatch.setattr("segfield.callbacks.panels.panel", panel)
    return calls


def pictures_of(folder: Path) -> dict[str, list[tuple[int, int, int]]]:
    """Step, width and height of each picture, by tag."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0}).Reload()
    tags = events.Tags()["images"]
    return {tag: [(e.step, e.width, e.height) for e in events.Images(tag)] for tag in tags}


def test_the_same_samples_are_drawn_each_epoch_against_the_global_step(fit: Fit, tmp_path: Path) -> None:
    data = Kept()
    fit(tmp_path, lambda: [Panels(samples=2, height=64)], data=data, tensorboard=True, num_sanity_val_steps=1)
    val = [sample for sample, _, part in data.split_table() if part == "val"]
    assert len(val) == 3
    # Three tiles of 64 and two gaps of 4; 3 steps an epoch, counted from 0. The first sample and the last one.
    expected = [(2, 200, 64), (5, 200, 64)]
    assert pictures_of(tmp_path) == {f"panels/{val[0]}": expected, f"panels/{val[2]}": expected}


def test_there_are_no_more_pictures_than_samples(fit: Fit, tmp_path: Path) -> None:
    fit(tmp_path, lambda: [Panels(samples=9)], data=Kept(), tensorboard=True, max_epochs=1)
    assert len(pictures_of(tmp_path)) == 3


@pytest.mark.parametrize("floats", [False, True])
def test_pictures_leave_the_data_as_they_are(fit: Fit, tmp_path: Path, floats: bool) -> None:
    data, untouched = Kept(floats=floats), Kept(floats=floats)
    fit(tmp_path, lambda: [Panels()], data=data, tensorboard=True)
    untouched.setup()
    assert len(data.arrays) == 15
    for index, (sample, _, _) in enumerate(untouched.split_table()):
        untouched.item(index)
        for name, array in untouched.arrays[sample].items():
            assert np.array_equal(data.arrays[sample][name], array), (sample, name)


def test_a_run_with_pictures_computes_what_one_without_them_does(fit: Fit, tmp_path: Path) -> None:
    ends = []
    for name, callbacks in {"with": [Panels()], "without": []}.items():
        trainer = fit(tmp_path / name, lambda extra=callbacks: [Trace(), *extra], data=Kept(), tensorboard=True)
        ends.append({name: float(value) for name, value in trainer.callback_metrics.items()})
    assert ends[0] == ends[1]
    assert (tmp_path / "with/trace.csv").read_bytes() == (tmp_path / "without/trace.csv").read_bytes()


def test_without_tensorboard_nothing_is_drawn(fit: Fit, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
    fit(tmp_path, lambda: [Panels()], data=Kept())
    fit(tmp_path, lambda: [Panels()], data=Kept(), logger=CSVLogger(tmp_path))
    assert drawn == []


def test_a_picture_shows_image_truth_prediction_and_valid_pixels(
    fit: Fit, tmp_path: Path, drawn: list[dict[str, Any]]
) -> None:
    data = Kept()
    fit(
        tmp_path,
        lambda: [Panels(samples=1, height=99)],
        data=data,
        network=Red,
        tensorboard=True,
        max_epochs=1,
        limit_train_batches=1,
    )
    (call,) = drawn
    arrays = data.arrays[next(sample for sample, _, part in data.split_table() if part == "val")]
    assert np.array_equal(call["image"], arrays["image"].transpose(1, 2, 0))
    assert np.array_equal(call["truth"], arrays["target"])
    assert np.array_equal(call["prediction"], arrays["image"][0] > 127)
    assert np.array_equal(call["valid"], arrays["valid"][0])
    assert call["height"] == 99


def test_a_network_without_padding_is_shown_on_the_centre_of_the_image(
    fit: Fit, tmp_path: Path, drawn: list[dict[str, Any]]
) -> None:
    data = Kept()
    fit(
        tmp_path,
        lambda: [Panels(samples=1)],
        data=data,
        network=lambda: UNet(3, 1, width=4, depth=1, padding="valid", border="none"),
        tensorboard=True,
        max_epochs=1,
    )
    (call,) = drawn
    arrays = data.arrays[next(sample for sample, _, part in data.split_table() if part == "val")]
    assert np.array_equal(call["image"], arrays["image"][:, 8:24, 8:24].transpose(1, 2, 0))
    assert np.array_equal(call["truth"], arrays["target"][8:24, 8:24])
    assert np.array_equal(call["valid"], arrays["valid"][0, 8:24, 8:24])
    assert call["prediction"].shape == (16, 16)


def test_a_network_without_padding_gets_pictures(fit: Fit, tmp_path: Path) -> None:
    fit(
        tmp_path,
        lambda: [Panels(samples=1)],
        network=lambda: UNet(3, 1, width=4, depth=1, padding="valid", border="none"),
        tensorboard=True,
    )
    (pictures,) = pictures_of(tmp_path).values()
    assert pictures == [(2, 392, 128), (5, 392, 128)]  # 16 x 16 pixels are shown as 128 x 128


def test_data_without_a_map_of_valid_pixels_count_as_valid(
    fit: Fit, tmp_path: Path, drawn: list[dict[str, Any]]
) -> None:
    fit(tmp_path, lambda: [Panels(samples=1)], tensorboard=True, max_epochs=1)
    assert [call["valid"] for call in drawn] == [None]


class Levels(nn.Module):
    """Three classes: a dark, a middling and a bright red channel."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        red = image[:, :1]
        return self.scale * torch.cat((-1 - red, torch.zeros_like(red), red - 1), 1)


def test_several_classes_are_drawn_in_the_colours_of_the_data(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(panels, "class_panel", lambda *given, **others: calls.append((given, others)) or DRAWN)
    data = Kept(out_channels=3, classes=["dark", "grey", "bright"], colours=["#000000", "#010203", "#ffffff"])
    fit(
        tmp_path,
        lambda: [Panels(samples=1, height=99)],
        data=data,
        network=Levels,
        several=data.classes,
        tensorboard=True,
        max_epochs=1,
        limit_train_batches=1,
    )
    (((image, truth, prediction, colours, names), others),) = calls
    arrays = data.arrays[next(sample for sample, _, part in data.split_table() if part == "val")]
    assert np.array_equal(image, arrays["image"].transpose(1, 2, 0))
    assert np.array_equal(truth, arrays["target"])
    red = arrays["image"][0]
    sure = (np.abs(red - 63.75) > 2) & (np.abs(red - 191.25) > 2)
    assert np.array_equal(prediction[sure], np.digitize(red, [63.75, 191.25])[sure])
    assert colours.tolist() == [[0, 0, 0], [1, 2, 3], [255, 255, 255]]
    assert names == ["dark", "grey", "bright"]
    assert np.array_equal(others["valid"], arrays["valid"][0])
    assert others["height"] == 99
