"""Keeps status.json up to date while a run trains."""

import contextlib
from typing import Any, final

import pytorch_lightning as pl
import torch.distributed as dist
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from segfield.run.status import Status


@final
class Progress(Callback):
    """Write epoch, step, best score and the number of skipped samples at every epoch's end.

    Args:
        status: of this execution, at rank 0; None at the others, which tell it what they have skipped.
    """

    def __init__(self, status: Status | None) -> None:
        self._status = status

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Write how far an interrupted or failed run came; a full disk must not hide why it ended."""
        with contextlib.suppress(OSError):
            if self._status is not None:
                self._status.update(epoch=trainer.current_epoch, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the number of epochs and steps that are over."""
        skipped = _skipped(trainer)
        if self._status is None:
            return
        scores = {
            str(callback.monitor): round(float(callback.best_model_score), 6)
            for callback in trainer.checkpoint_callbacks
            if isinstance(callback, ModelCheckpoint) and callback.best_model_score is not None
        }
        # A run that goes on may not meet again what an earlier execution has met.
        counted = {} if skipped is None else {"skipped": max(skipped, self._status.skipped)}
        self._status.update(epoch=trainer.current_epoch + 1, step=trainer.global_step, best=scores, **counted)


def _skipped(trainer: pl.Trainer) -> int | None:
    """Count the samples that any rank has skipped, each once; all ranks must call it. None where none may be."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    if getattr(data, "on_error", "raise") != "skip":
        return None
    every = [data.skipped]
    if trainer.world_size > 1:
        every *= trainer.world_size
        dist.all_gather_object(every, data.skipped)
    return len({id_ for ids in every for id_ in ids})
