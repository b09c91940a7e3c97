"""Lightning's rich progress bar with names that fit a terminal of 80 columns: loss, dice, images/s."""

import time
from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar

from segfield.callbacks.throughput import NAMES, rates
from segfield.task import is_logged

_PER_SECOND = 4  # Lightning draws 100 times a second, and works at every step: time that training lacks


@final
class ProgressBar(RichProgressBar):
    """Show the loss of every n-th step, as the loggers do, the monitored score of the last validation, and images/s."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=_PER_SECOND)
        self._shown_at = float("-inf")
        self._step: dict[str, float] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take up the loss where it is logged, for which the step waits for the device; move the bar now and then."""
        if is_logged(trainer, batch_idx):
            self._step = {"loss": float(outputs["loss"]) * trainer.accumulate_grad_batches}
            known = rates(trainer)
            self._step |= {"images/s": known[NAMES[0]]} if known else {}
        now = time.monotonic()
        if trainer.is_last_batch or now - self._shown_at > 1 / _PER_SECOND:
            self._shown_at = now
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what the bar shows, by short names: val/dice becomes dice."""
        shown = super().get_metrics(trainer, pl_module)
        return self._step | {name.rpartition("/")[2]: value for name, value in shown.items() if name != "v_num"}
