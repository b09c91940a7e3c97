"""time/images_per_second and time/step: what depends on the clock stands under time/."""

import time
from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from segfield.task import log_step

NAMES = ("time/images_per_second", "time/step")


@final
class Throughput(Callback):
    """Log images per second and seconds per optimiser step, both since the epoch's start, validation left out."""

    def __init__(self) -> None:
        self._start = self._validation_start = 0.0
        self._images = self._batches = 0
        self.rates: dict[str, float] = {}

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start, self._images, self._batches = time.perf_counter(), 0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock too where a run goes on inside an epoch, which has no start then."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock for a validation inside an epoch."""
        self._validation_start = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let the clock run again."""
        self._start += time.perf_counter() - self._validation_start

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch."""
        self._images += len(batch["index"]) * trainer.world_size
        self._batches += 1
        seconds = time.perf_counter() - self._start
        steps = self._batches / trainer.accumulate_grad_batches
        self.rates = dict(zip(NAMES, (self._images / seconds, seconds / steps), strict=True))
        log_step(trainer, batch_idx, self.rates)


def rates(trainer: pl.Trainer) -> dict[str, float]:
    """Return what is known under NAMES; nothing without the callback, or before the first step."""
    found: list[Throughput] = [callback for callback in trainer.callbacks if isinstance(callback, Throughput)]  # type: ignore[attr-defined]
    return found[0].rates if found else {}
