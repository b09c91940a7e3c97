"""trace.csv: the loss of every optimiser step, exactly, for comparing two runs bit for bit."""

import functools
import logging
from typing import Any, final

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from segfield.files import append_lines, cut_rows

_log = logging.getLogger(__name__)


@final
class Trace(Callback):
    """Append epoch,step,loss: a row per optimiser step, the loss of its global batch as str(np.float32(x)).

    Losses stay on the device until a block is full, the epoch ends or a checkpoint is about to be written, so no
    step waits for the device and no checkpoint is ahead of the file. The ranks' losses meet then too; rank 0 writes.

    Args:
        path: of the file, inside the run folder.
        block: rows written at once.
    """

    def __init__(self, path: str = "trace.csv", block: int = 100) -> None:
        self.path, self.block = path, block
        self._rows: list[tuple[int, int, torch.Tensor]] = []
        self._parts: list[torch.Tensor] = []
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Cut what lies beyond the checkpoint that the run goes on from; say what is missing before it."""
        self._step = trainer.global_step
        if not trainer.is_global_zero:
            return
        missing = sorted(set(range(self._step)) - set(cut_rows(self.path, ("epoch", "step", "loss"), self._step)))
        if missing:
            _log.warning(
                "%s lacks %d of %d steps, the first of them %d", self.path, len(missing), self._step, missing[0]
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the loss; Lightning has divided it by the number of accumulated batches."""
        self._parts.append(outputs["loss"].detach())
        if trainer.global_step != self._step:
            # Not 1 where limit_train_batches ends an epoch inside a global batch: Lightning steps there all the same.
            share = trainer.accumulate_grad_batches / len(self._parts)
            loss = functools.reduce(torch.add, self._parts)
            self._rows.append((trainer.current_epoch, self._step, loss if share == 1 else loss * share))
            self._step, self._parts = trainer.global_step, []
        if len(self._rows) >= self.block:
            self._flush(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the rest of the epoch."""
        self._flush(trainer)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Any) -> None:
        """Write before the checkpoint becomes visible."""
        self._flush(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Write what there is, unless that takes other ranks, which may be gone: it is computed again then."""
        if trainer.world_size == 1:
            self._flush(trainer)

    def _flush(self, trainer: pl.Trainer) -> None:
        if not self._rows:
            return
        of_rank = torch.stack([loss for _, _, loss in self._rows]).float()
        losses = trainer.strategy.reduce(of_rank, reduce_op="mean")  # equal shares of each global batch
        if trainer.is_global_zero:
            rows = zip(self._rows, losses.cpu().numpy(), strict=True)
            append_lines(self.path, [f"{epoch},{step},{np.float32(loss)!s}" for (epoch, step, _), loss in rows])
        self._rows = []
