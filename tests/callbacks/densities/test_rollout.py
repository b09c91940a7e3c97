"""The roll-out of a network that feeds on its own densities."""

import csv
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import Tensor, nn

from segfield.callbacks.last_checkpoint import LastCheckpoint
from segfield.callbacks.rollout import NoRolloutError, Rollout, roll_out
from segfield.callbacks.trace import Trace
from segfield.data.ocean_density import OceanDensity
from segfield.heads import Plain, Residual
from segfield.losses.density import RMSE
from segfield.metrics.density import DensityScores
from segfield.models.unet import UNet
from segfield.task import PixelwiseTask

Fit = Callable[..., pl.Trainer]
SCALE = 32.0
SCORES = ("distance_km", "iou_50", "iou_90", "kl", "mass_error", "rmse")


class Halves(nn.Module):
    """Gives half of the density that it sees; `margin` cells fewer at each side."""

    def __init__(self, margin: int = 0) -> None:
        super().__init__()
        self.share, self.margin = nn.Parameter(torch.tensor(0.5)), margin

    def forward(self, image: Tensor) -> Tensor:
        rows, columns = (slice(self.margin, side - self.margin) for side in image.shape[-2:])
        return self.share * image[:, -1:, rows, columns]


class Killed(Callback):
    """Ends its process at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def task_of(network: Callable[[], nn.Module], head: nn.Module) -> PixelwiseTask:
    return PixelwiseTask(
        model=network(),
        head=head,
        loss=RMSE(SCALE),
        metrics=DensityScores(),
        optimizer=partial(torch.optim.AdamW, lr=0.01),
        activation=nn.Identity(),
        monitor="val/iou_50",
        mode="max",
        seed=3,
    )


def learning() -> PixelwiseTask:
    return task_of(lambda: UNet(3, 1, width=4, depth=1, dropout=0.3), Residual(SCALE))


def halving(margin: int = 0) -> PixelwiseTask:
    return task_of(lambda: Halves(margin), Plain(SCALE)).eval()


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "rollout.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_network_is_fed_its_own_density_from_the_release_on(ocean: Callable[..., OceanDensity]) -> None:
    data = ocean()
    data.setup()
    sequences = data.sequences("val")
    with torch.no_grad():
        found = roll_out(halving(), data, sequences, DensityScores())
    assert found.hours == [6, 12, 18, 24]
    windows = [data.item(index) for index in sequences[0]]
    released, valid = windows[0]["target"][1], windows[0]["valid"][0]
    for step, window in enumerate(windows):
        assert np.array_equal(found.story.predictions[step], released * valid * 0.5 ** (step + 1))
        assert np.array_equal(found.story.truths[step], window["target"][0])
    assert (found.story.group, found.ensembles) == (windows[0]["group"], len(sequences))


def test_persistence_in_a_roll_out_is_the_release_held(ocean: Callable[..., OceanDensity]) -> None:
    data = ocean()
    data.setup()
    sequences = data.sequences("val")[:1]
    with torch.no_grad():
        found = roll_out(halving(), data, sequences, DensityScores())
    items = [data.item(index) for index in sequences[0]]
    valid, released = items[0]["valid"][0], items[0]["target"][1]
    held = [float(((item["target"][0] - released)[valid] ** 2).mean().sqrt()) for item in items]
    assert found.scores["rmse_persistence"] == pytest.approx(held)
    mean = [float(((item["target"][0] - item["target"][2])[valid] ** 2).mean().sqrt()) for item in items]
    assert found.scores["rmse_mean"] == pytest.approx(mean)
    assert list(found.scores) == [f"{name}{end}" for name in SCORES for end in ("", "_persistence", "_mean")]


def test_scores_do_not_depend_on_how_many_ensembles_are_rolled_out_at_once(ocean: Callable[..., OceanDensity]) -> None:
    results = []
    for batch_size in (1, 2, 16):
        data = ocean(batch_size=batch_size)
        data.setup()
        with torch.no_grad():
            results.append(roll_out(halving(), data, data.sequences("val"), DensityScores()).scores)
    assert results[0] == results[1] == results[2]


@pytest.mark.slow
def test_a_run_with_a_roll_out_computes_what_one_without_it_does(
    fit: Fit, tmp_path: Path, ocean: Callable[..., OceanDensity]
) -> None:
    ends = []
    for name, callbacks in {"with": [Rollout(every_n_epochs=2)], "without": []}.items():
        trainer = fit(tmp_path / name, learning, ocean(), Trace(), *callbacks, tensorboard=True, max_epochs=3)
        ends.append({name: float(value) for name, value in trainer.callback_metrics.items()})
    assert ends[0] == ends[1]
    assert (tmp_path / "with/trace.csv").read_bytes() == (tmp_path / "without/trace.csv").read_bytes()
    rows = rows_of(tmp_path / "with")
    steps = ocean_steps(tmp_path / "with")
    expected = [(str(epoch), str(step), lead) for epoch, step in steps for lead in ("6", "12", "18", "24")]
    assert [(row["epoch"], row["step"], row["lead_hours"]) for row in rows] == expected
    events = EventAccumulator(str(tmp_path / "with/tensorboard"), size_guidance={"images": 0}).Reload()
    assert events.Tags()["images"] == ["rollout/curves", "rollout/maps"]
    assert [event.step for event in events.Images("rollout/maps")] == [step for _, step in steps]
    last = [event.value for event in events.Scalars("rollout/iou_50")]
    assert last == pytest.approx([float(row["iou_50"]) for row in rows if row["lead_hours"] == "24"])


def ocean_steps(folder: Path) -> list[tuple[int, int]]:
    """Epoch and last step of the second epoch and of the third, which is the last."""
    lines = [row.split(",") for row in (folder / "trace.csv").read_text().splitlines()[1:]]
    return [(epoch, max(int(step) for of, step, _ in lines if int(of) == epoch)) for epoch in (1, 2)]


@pytest.mark.slow
def test_a_killed_run_goes_on_with_neither_lost_nor_doubled_rows(
    fit: Fit, forked: Callable[[Callable[[], object]], tuple[int, str]], tmp_path: Path, ocean: Callable[..., Any]
) -> None:
    def run(name: str, *extra: Callback) -> tuple[int, str]:
        callbacks = (Trace(), Rollout(pictures=False), LastCheckpoint(), *extra)
        return forked(lambda: fit(tmp_path / name, learning, ocean(), *callbacks, max_epochs=3))

    assert run("whole")[0] == 0
    assert run("killed", Killed(step=5))[0] == -signal.SIGKILL
    before = (tmp_path / "killed/rollout.csv").read_bytes()
    with (tmp_path / "killed/rollout.csv").open("ab") as file:
        file.write(b"2,5,6,0.5")  # cut short
    code, said = run("killed")
    assert code == 0, said
    whole = (tmp_path / "whole/rollout.csv").read_bytes()
    assert (tmp_path / "killed/rollout.csv").read_bytes() == whole
    assert whole.startswith(before)
    assert before.count(b"\n") > 4


@pytest.mark.slow
def test_of_two_ranks_the_first_rolls_out_alone_and_nobody_waits(
    ranks: Callable[..., list[Any]], fit: Fit, tmp_path: Path, ocean: Callable[..., OceanDensity]
) -> None:
    folder = tmp_path / "run"

    def work() -> int:
        strategy = DDPStrategy(process_group_backend="gloo")
        return int(fit(folder, learning, ocean(), Trace(), Rollout(), strategy=strategy, devices=2).global_step)

    assert ranks(2, work) == [4, 4]
    rows = rows_of(folder)
    assert [(row["step"], row["lead_hours"]) for row in rows] == [
        (step, lead) for step in ("1", "3") for lead in ("6", "12", "18", "24")
    ]
    assert all(np.isfinite(float(row["rmse"])) for row in rows)


def test_a_network_without_a_border_is_not_rolled_out_and_that_is_said_once(
    fit: Fit, tmp_path: Path, ocean: Callable[..., OceanDensity], caplog: pytest.LogCaptureFixture
) -> None:
    data = ocean()
    data.setup()
    message = r"densities of a whole window, \[16, 20\]; the network gives \[12, 16\]\. Use model\.border=mirror"
    with pytest.raises(NoRolloutError, match=message), torch.no_grad():
        roll_out(halving(2), data, data.sequences("val"), DensityScores())
    fit(tmp_path, lambda: halving(2).train(), ocean(), Rollout())
    assert len([text for text in caplog.messages if text.startswith("no roll-out: ")]) == 1
    assert rows_of(tmp_path) == []


@pytest.mark.parametrize("name", ["ensembles", "every_n_epochs"])
def test_a_number_below_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"callbacks\.rollout\.{name} must be 1 or more; got 0\. Use 1"):
        Rollout(**{name: 0})
