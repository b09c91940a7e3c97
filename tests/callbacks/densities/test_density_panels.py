from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import nn

from segfield.callbacks.density_panels import DensityPanels
from segfield.data.ocean_density import OceanDensity
from segfield.data.ocean_density.inputs import Inputs
from segfield.heads import Residual
from segfield.losses.density import RMSE
from segfield.metrics.density import DensityScores
from segfield.models.unet import UNet
from segfield.task import PixelwiseTask

Fit = Callable[..., pl.Trainer]


def still() -> PixelwiseTask:
    """A network that gives 0: the prediction is the density as it is."""
    network = UNet(5, 1, width=4, depth=1)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    return PixelwiseTask(
        model=network,
        head=Residual(30.0),
        loss=RMSE(30.0),
        metrics=DensityScores(),
        optimizer=partial(torch.optim.SGD, lr=0.0),
        activation=nn.Identity(),
        monitor="val/iou_50",
        mode="max",
    )


@pytest.fixture
def data(drift_set: Path) -> OceanDensity:
    inputs = Inputs(variables=["u", "ssh", "sst", "sst"], offsets=[0, 0, 0, 1], standardised=["sst"], in_channels=5)
    return OceanDensity(root=str(drift_set), inputs=inputs, in_channels=5, gap_days=0.0, batch_size=16)


def test_the_same_windows_are_drawn_each_epoch_as_panels_are(fit: Fit, tmp_path: Path, data: OceanDensity) -> None:
    fit(tmp_path, still, data, DensityPanels(samples=2, height=150), tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0}).Reload()
    windows = [data.sample(index).id for index in data.indices("val")]
    assert set(events.Tags()["images"]) == {f"panels/{windows[0]}", f"panels/{windows[-1]}"}
    drawn = events.Images(f"panels/{windows[0]}")
    assert [event.height for event in drawn] == [150, 150]
    assert drawn[0].encoded_image_string == drawn[1].encoded_image_string  # nothing was learnt


def test_a_panel_shows_inputs_densities_and_the_sea(
    fit: Fit, tmp_path: Path, data: OceanDensity, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def panel(*given: Any, **others: Any) -> np.ndarray:
        calls.append((given, others))
        return np.zeros((4, 4, 3), dtype=np.uint8)

    monkeypatch.setattr("segfield.callbacks.density_panels.density_panel", panel)
    fit(tmp_path, still, data, DensityPanels(samples=1, height=199), tensorboard=True, max_epochs=1)
    (((inputs, current, truth, prediction), others),) = calls
    item = data.item(data.indices("val")[0])
    assert [one.title for one in inputs] == ["u", "ssh", "sst", "sst a map later"]
    assert [one.unit for one in inputs] == ["m/s", "m", "standard deviations", "standard deviations"]
    assert [one.signed for one in inputs] == [True, False, True, True]
    for one, channel in zip(inputs, item["image"], strict=False):
        assert np.array_equal(one.values, channel)
    assert np.array_equal(current, item["target"][1])
    assert np.array_equal(truth, item["target"][0])
    assert np.allclose(prediction, current, atol=1e-7)
    assert np.array_equal(others["valid"], item["valid"][0])
    assert np.array_equal(others["east"], item["target"][3])
    assert np.array_equal(others["north"], item["target"][4])
    assert others["title"] == f"{item['id']}, {data.describe(item['index'])} to +6 h"
    assert others["height"] == 199


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": -1}, r"callbacks\.panels\.samples must be 0 or more; got -1\. Use 4\."),
        ({"height": 119}, r"callbacks\.panels\.height must be 120 or more; got 119\. Use 256\."),
    ],
)
def test_numbers_of_which_no_picture_can_be_drawn_are_refused_before_training(
    settings: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DensityPanels(**settings)
