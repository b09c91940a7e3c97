"""Lightning's rich progress bar with names that fit a terminal of 80 columns: loss, dice, images/s."""

from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar

from segfield.callbacks.throughput import NAMES, rates
from segfield.task import is_logged


@final
class ProgressBar(RichProgressBar):
    """Show the loss of every n-th step, as the loggers do, the monitored score of the last validation, and images/s."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=10)  # at 100 a second, Lightning's default, drawing takes its time from training
        self._step: dict[str, float] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take up the loss, now and then: each time the step waits for the device."""
        if is_logged(trainer, batch_idx):
            self._step = {"loss": float(outputs["loss"]) * trainer.accumulate_grad_batches}
            self._step |= {"images/s": rate for name, rate in rates(trainer).items() if name == NAMES[0]}
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what the bar shows, by short names: val/dice becomes dice."""
        shown = super().get_metrics(trainer, pl_module)
        return self._step | {name.rpartition("/")[2]: value for name, value in shown.items() if name != "v_num"}
