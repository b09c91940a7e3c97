"""Keeps status.json up to date while a run trains."""

import contextlib
from typing import final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from segfield.run.status import Status


@final
class Progress(Callback):
    """Write epoch, step and best score at every epoch's end; rank 0 has it.

    Args:
        status: of this execution.
    """

    def __init__(self, status: Status) -> None:
        self._status = status

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Write how far an interrupted or failed run came; a full disk must not hide why it ended."""
        with contextlib.suppress(OSError):
            self._status.update(epoch=trainer.current_epoch, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the number of epochs and steps that are over."""
        scores = {
            str(callback.monitor): round(float(callback.best_model_score), 6)
            for callback in trainer.checkpoint_callbacks
            if isinstance(callback, ModelCheckpoint) and callback.best_model_score is not None
        }
        self._status.update(epoch=trainer.current_epoch + 1, step=trainer.global_step, best=scores)
