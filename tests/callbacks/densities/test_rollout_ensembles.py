"""Which ensembles a roll-out takes, and how far."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from segfield.callbacks.rollout import NoRolloutError, roll_out
from segfield.data.ocean_density import OceanDensity
from segfield.heads import Residual
from segfield.losses.density import RMSE
from segfield.metrics.density import DensityScores
from segfield.task import PixelwiseTask


@pytest.fixture
def task() -> PixelwiseTask:
    return PixelwiseTask(
        model=nn.Conv2d(3, 1, 1),
        head=Residual(32.0),
        loss=RMSE(32.0),
        metrics=DensityScores(),
        optimizer=torch.optim.AdamW,
        activation=nn.Identity(),
        monitor="val/iou_50",
        mode="max",
    ).eval()


def test_an_ensemble_that_lacks_windows_is_not_rolled_out(
    task: PixelwiseTask, ocean: Callable[..., OceanDensity], tmp_path: Path
) -> None:
    data = ocean()
    data.setup()
    rows = data.split_table()
    *_, short = [group for _, group, part in rows if part == "val"]
    path = tmp_path / "parts.csv"
    lines = [f"{id_},{part}" for id_, group, part in rows if (group, id_[-2:]) != (short, "01")]
    path.write_text("\n".join(["id,part", *lines]))
    partial = ocean(split_file=str(path))
    partial.setup()
    whole = len(partial.sequences("val"))
    assert whole == len(data.sequences("val")) - 1
    with torch.no_grad():
        assert roll_out(task, partial, partial.sequences("val"), DensityScores()).ensembles == whole
    with pytest.raises(NoRolloutError, match=r"ensembles that have all their windows.* in data\.split_file"):
        roll_out(task, partial, [], DensityScores())


@pytest.mark.parametrize("damage", ["unreadable", "no value"])
def test_an_ensemble_does_not_count_from_a_window_on_that_cannot_be_read_or_has_no_values(
    task: PixelwiseTask, ocean: Callable[..., OceanDensity], monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    data = ocean(size=[16, 20], on_error="skip")
    data.setup()
    whole, broken = data.sequences("val")[:2]
    read = OceanDensity.read
    name = data.sample(broken[1]).id

    def damaged(self: OceanDensity, sample: Any, size: Any) -> dict[str, np.ndarray]:
        found = read(self, sample, size)
        if sample.id == name:
            if damage == "unreadable":
                raise ValueError("damaged")
            found["valid"][:] = False  # as where a field is missing for a day
        return found

    with torch.no_grad():
        alone = roll_out(task, data, [whole], DensityScores()).scores
        monkeypatch.setattr(data._items, "_read", partial(damaged, data))
        both = roll_out(task, data, [whole, broken], DensityScores()).scores
    assert both["rmse"][1:] == pytest.approx(alone["rmse"][1:])
    assert both["rmse"][0] != pytest.approx(alone["rmse"][0])
