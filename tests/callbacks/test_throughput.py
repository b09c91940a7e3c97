import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from segfield.callbacks.last_checkpoint import LastCheckpoint
from segfield.callbacks.metrics_csv import MetricsCsv
from segfield.callbacks.throughput import NAMES, Throughput, rates

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
    # A guess too: the sampler starts at the checkpoint's position.
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
]

Fit = Callable[..., pl.Trainer]


@final
class SlowValidation(Callback):
    """Makes a validation take 0.3 s."""

    def on_validation_batch_start(self, *_: Any) -> None:
        time.sleep(0.3)


@final
class FailAt(Callback):
    """Ends the run at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise ZeroDivisionError


@final
class Stop(Callback):
    """Ends training after some steps, inside an epoch."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step == self.steps


def test_what_depends_on_the_clock_is_logged_under_time(fit: Fit, tmp_path: Path) -> None:
    with_it = fit(tmp_path / "a", lambda: [Throughput()]).callback_metrics
    without = fit(tmp_path / "b", list).callback_metrics
    assert set(with_it) - set(without) == set(NAMES)
    assert all(name.startswith("time/") for name in NAMES)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_has_the_images_of_a_global_batch(fit: Fit, tmp_path: Path, accumulate: int) -> None:
    scores = fit(tmp_path, lambda: [Throughput()], accumulate_grad_batches=accumulate).callback_metrics
    images_per_second, seconds_per_step = (float(scores[name]) for name in NAMES)
    assert images_per_second * seconds_per_step == pytest.approx(4)
    assert 0 < seconds_per_step < 5


def test_a_validation_inside_the_epoch_does_not_count(fit: Fit, tmp_path: Path) -> None:
    trainer = fit(tmp_path, lambda: [Throughput(), SlowValidation()], max_epochs=1, val_check_interval=1)
    assert float(trainer.callback_metrics["time/step"]) < 0.15


def test_the_clock_starts_where_a_run_goes_on_inside_an_epoch(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fit(tmp_path, lambda: [FailAt(5), LastCheckpoint(every_n_steps=1)])
    scores = fit(tmp_path, lambda: [Throughput(), LastCheckpoint()]).callback_metrics
    assert 0 < float(scores["time/step"]) < 5
    assert float(scores["time/images_per_second"]) * float(scores["time/step"]) == pytest.approx(4)


def test_without_the_callback_there_are_no_rates(fit: Fit, tmp_path: Path) -> None:
    assert rates(fit(tmp_path, list)) == {}


def test_rates_are_known_to_the_last_step_where_an_epoch_is_left_early(fit: Fit, tmp_path: Path) -> None:
    trainer = fit(tmp_path, lambda: [Throughput(), Stop(2), MetricsCsv()], log_every_n_steps=3)
    (row,) = (tmp_path / "metrics.csv").read_text().splitlines()[1:]
    assert trainer.global_step == 2
    assert [float(value) for value in row.split(",")[-3:]] == pytest.approx([0.01, *rates(trainer).values()], rel=1e-6)
