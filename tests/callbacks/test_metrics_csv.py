import csv
import logging
from collections.abc import Callable
from pathlib import Path
from typing import final

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from segfield.callbacks.last_checkpoint import LastCheckpoint
from segfield.callbacks.metrics_csv import MetricsCsv
from segfield.callbacks.throughput import Throughput

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
]

Fit = Callable[..., pl.Trainer]
SCORES = [f"{stage}/{score}" for stage in ("train", "val") for score in ("loss", "dice", "dice_group", "iou")]


@final
class Watch(Callback):
    """Keeps the scores of each epoch as Lightning holds them."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, np.float32]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epochs.append({name: np.float32(value) for name, value in trainer.callback_metrics.items()})


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_epoch_has_a_row_with_the_declared_names(fit: Fit, tmp_path: Path) -> None:
    trainer = fit(tmp_path, lambda: [Throughput(), MetricsCsv()], max_epochs=3)
    rows = rows_of(tmp_path)
    assert [(row["epoch"], row["step"]) for row in rows] == [("0", "2"), ("1", "5"), ("2", "8")]
    assert list(rows[0]) == ["epoch", "step", *SCORES, "lr", "time/images_per_second", "time/step"]
    assert trainer.lightning_module.logged_names() == SCORES  # type: ignore[operator]
    assert all(float(value) >= 0 for row in rows for value in row.values())


def test_scores_read_back_are_those_of_lightning_to_the_last_bit(fit: Fit, tmp_path: Path) -> None:
    watch = Watch()
    fit(tmp_path, lambda: [MetricsCsv(), watch])
    for row, epoch in zip(rows_of(tmp_path), watch.epochs, strict=True):
        assert {name: np.float32(row[name]) for name in [*SCORES, "lr"]} == {n: epoch[n] for n in [*SCORES, "lr"]}
        assert row["lr"] == "0.01"


def test_an_epoch_without_validation_has_no_validation_scores(fit: Fit, tmp_path: Path) -> None:
    fit(tmp_path, lambda: [MetricsCsv()], max_epochs=4, check_val_every_n_epoch=2, num_sanity_val_steps=1)
    rows = rows_of(tmp_path)
    assert [bool(row["val/dice"]) for row in rows] == [False, True, False, True]
    assert all(row["train/dice"] for row in rows)


def test_a_run_that_starts_again_without_a_checkpoint_begins_a_new_file(fit: Fit, tmp_path: Path) -> None:
    fit(tmp_path, lambda: [MetricsCsv()])
    fit(tmp_path, lambda: [MetricsCsv()], max_epochs=1)
    assert [row["epoch"] for row in rows_of(tmp_path)] == ["0"]


TOLD = ("train/loss", "val/loss", "val/dice", "val/dice_group")


def test_each_epoch_is_told_in_one_line(fit: Fit, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "segfield")
    fit(tmp_path, lambda: [MetricsCsv()])
    told = [record.message for record in caplog.records if record.name == "segfield.callbacks.metrics_csv"]
    last = rows_of(tmp_path)[1]
    scores = "  ".join(f"{name} {float(last[name]):.4g}" for name in TOLD)
    assert len(told) == 2
    assert told[1] == f"epoch 2/2  {scores}"


def test_rows_that_are_missing_before_the_checkpoint_are_told(
    fit: Fit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit(tmp_path, lambda: [MetricsCsv(), LastCheckpoint()])
    (tmp_path / "metrics.csv").unlink()
    fit(tmp_path, lambda: [MetricsCsv(), LastCheckpoint()])
    assert "metrics.csv has 0 rows for 1 epochs that are over" in caplog.messages
    assert [row["epoch"] for row in rows_of(tmp_path)] == ["1"]


def test_the_learning_rate_is_that_of_the_epochs_last_step(fit: Fit, tmp_path: Path) -> None:
    fit(
        tmp_path,
        lambda: [MetricsCsv()],
        scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5),
        scheduler_interval="step",
        log_every_n_steps=2,
    )
    rates = [0.01 * 0.5**step for step in (2, 5)]
    assert [row["lr"] for row in rows_of(tmp_path)] == [str(np.float32(rate)) for rate in rates]
