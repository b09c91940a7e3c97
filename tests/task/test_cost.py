import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from segfield.callbacks.last_checkpoint import LastCheckpoint
from segfield.callbacks.metrics_csv import MetricsCsv
from segfield.callbacks.progress_bar import ProgressBar
from segfield.callbacks.signals import SaveOnSignal
from segfield.callbacks.tensorboard import TensorBoard
from segfield.callbacks.throughput import Throughput
from segfield.callbacks.trace import Trace
from segfield.data.module import PixelwiseData
from segfield.metrics import BinaryScores, Dice, DiceSet, IoU, PixelAccuracy
from segfield.metrics.group import DiceGroup
from segfield.run.checkpoint_io import WholeCheckpointIO
from segfield.task import PixelwiseTask

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
]

TaskOf = Callable[..., PixelwiseTask]
TrainerOf = Callable[..., pl.Trainer]
DataOf = Callable[..., PixelwiseData]

# What makes the host wait until the device has computed a value.
WAITING = (
    *("item", "tolist", "numpy", "cpu", "nonzero", "is_nonzero", "equal"),
    *("__bool__", "__float__", "__int__", "__index__", "__array__", "__format__"),
)


@final
class Waits(Callback):
    """Notes who reads a tensor's value during a step; the optimiser's counter and the loader's seed are on the host."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[int, str, str]] = []
        self._step = -1
        for name in WAITING:
            patch.setattr(torch.Tensor, name, self._noting(name, getattr(torch.Tensor, name)))

    def _noting(self, name: str, method: Any) -> Any:
        def noted(*arguments: Any, **others: Any) -> Any:
            caller = sys._getframe(1).f_code.co_filename
            if self._step >= 0 and not any(place in caller for place in ("torch/optim", "torch/utils/data")):
                self.calls.append((self._step, name, caller))
            return method(*arguments, **others)

        return noted

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, step: int) -> None:
        self._step = trainer.global_step

    def on_validation_start(self, *_: Any) -> None:
        self._step = -1

    def on_train_epoch_end(self, *_: Any) -> None:
        self._step = -1


def test_no_step_waits_for_the_device_but_those_that_are_logged(
    task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Waits(monkeypatch)
    callbacks = [ProgressBar(), Throughput(), Trace(), MetricsCsv(), SaveOnSignal(), LastCheckpoint(), waits]
    singly = {"dice": Dice(), "dice_set": DiceSet(), "iou": IoU(), "accuracy": PixelAccuracy()}
    scores = BinaryScores({**singly, "dice_group": DiceGroup()})
    trainer = trainer_of(
        *callbacks,
        logger=TensorBoard(),
        log_every_n_steps=4,
        enable_progress_bar=True,
        plugins=[WholeCheckpointIO()],
    )
    trainer.fit(task_of(metrics=scores), datamodule=bright(batch_size=1))
    assert trainer.global_step == 20
    # The bar shows a step when its work is over; then the loggers take it.
    assert {step for step, _, _ in waits.calls} == {3, 7, 11, 15, 19}, waits.calls


def test_the_losses_are_to_the_last_bit_those_of_a_loop_written_by_hand(
    task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf
) -> None:
    task, data = task_of(optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.01)), bright(batch_size=2)
    data.setup()
    network, loss_of = copy.deepcopy(task.model), task.loss
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    losses = []
    torch.set_num_threads(1)
    for epoch in range(10):
        data.start_at(epoch, 0)
        for batch in data.train_dataloader():
            optimizer.zero_grad()
            loss = loss_of(network((batch["image"].float() / 255 - 0.5) / 0.25), batch["target"])
            loss.backward()
            optimizer.step()
            losses.append(str(np.float32(loss.item())))
    callbacks = [Throughput(), Trace(), MetricsCsv(), SaveOnSignal()]
    trainer_of(*callbacks, max_epochs=10, logger=TensorBoard(), log_every_n_steps=1).fit(
        task, datamodule=bright(batch_size=2)
    )
    rows = Path("trace.csv").read_text().splitlines()[1:]
    assert len(losses) == len(set(losses)) == 50
    assert [row.split(",")[2] for row in rows] == losses
