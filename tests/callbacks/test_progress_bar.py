from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl

from segfield.callbacks.progress_bar import ProgressBar
from segfield.callbacks.throughput import Throughput
from segfield.callbacks.trace import Trace

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
]


def test_the_bar_shows_loss_dice_and_images_per_second(fit: Callable[..., pl.Trainer], tmp_path: Path) -> None:
    bar = ProgressBar()
    trainer = fit(tmp_path, lambda: [Throughput(), bar], enable_progress_bar=True, tensorboard=True)
    shown = bar.get_metrics(trainer, trainer.lightning_module)
    assert set(shown) == {"loss", "dice", "images/s"}
    assert shown["dice"] == pytest.approx(float(trainer.callback_metrics["val/dice"]), abs=1e-3)


def test_the_bar_takes_up_the_loss_of_every_nth_step(fit: Callable[..., pl.Trainer], tmp_path: Path) -> None:
    bar = ProgressBar()
    trainer = fit(tmp_path, lambda: [Trace(), bar], enable_progress_bar=True, log_every_n_steps=2, max_epochs=1)
    rows = [row.split(",") for row in (tmp_path / "trace.csv").read_text().splitlines()[1:]]
    assert len(rows) == 3
    assert bar.get_metrics(trainer, trainer.lightning_module)["loss"] == np.float32(rows[1][2])


def test_the_bar_moves_some_times_a_second_and_at_the_epochs_end(
    fit: Callable[..., pl.Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(np.arange(100) * 0.1)
    monkeypatch.setattr("segfield.callbacks.progress_bar.time.monotonic", lambda: next(clock))
    moved: list[int] = []
    bar = ProgressBar()
    monkeypatch.setattr(bar, "_update", lambda task, current, **_: moved.append(current))
    fit(tmp_path, lambda: [bar], enable_progress_bar=True, max_epochs=1, batch_size=1, limit_val_batches=0)
    assert moved == [1, 4, 7, 10, 12]
    assert bar.refresh_rate == 4
