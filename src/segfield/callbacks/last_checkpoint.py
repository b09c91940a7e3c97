"""last.ckpt: everything a run needs to go on as if it had never stopped.

Lightning's ModelCheckpoint saves inside a step, before its log row and its validation; after a kill these are
lost. This one saves when everything of the step before is over, and keeps the former file as previous.ckpt.
best.ckpt is ModelCheckpoint's; here it gets the position from which a run can go on too.
"""

import copy
from pathlib import Path
from time import monotonic
from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn
from torchmetrics import Metric

from segfield.callbacks.agreement import Agreement


@final
class LastCheckpoint(Checkpoint):
    """Write last.ckpt at the start of every epoch but the first, every N steps and every N minutes.

    A subclass of Lightning's Checkpoint, so that it runs after every other callback.

    Args:
        path: of the checkpoint, inside the run folder; the run's own WholeCheckpointIO keeps the former file beside it.
        every_n_steps: optimiser's steps between two checkpoints inside an epoch; None: no such.
        every_n_minutes: minutes between two checkpoints inside an epoch, by rank 0's clock; None: no such.

    Raises:
        ValueError: if a number is not positive.
    """

    def __init__(
        self,
        path: str = "checkpoints/last.ckpt",
        every_n_steps: int | None = None,
        every_n_minutes: float | None = None,
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"callbacks.last.every_n_steps must be at least 1, or null; got {every_n_steps}.")
        if every_n_minutes is not None and not every_n_minutes > 0:  # nan too
            raise ValueError(f"callbacks.last.every_n_minutes must be above 0, or null; got {every_n_minutes}. Use 10.")
        self.path, self.every_n_steps, self.every_n_minutes = path, every_n_steps, every_n_minutes
        self._saved_at = -1
        self._saved_when = 0.0  # on the monotonic clock, which no change of the time of day moves
        self._asked = False  # the other ranks to save, and not saved since
        self._agreement = Agreement()

    def save(self, trainer: pl.Trainer) -> None:
        """Save now. Call it in on_train_batch_start of the batch that opens a step, or in on_train_epoch_start."""
        if trainer.global_step not in (0, self._saved_at):
            trainer.save_checkpoint(self.path)  # on every rank
            self._saved_at, self._saved_when, self._asked = trainer.global_step, monotonic(), False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of every_n_minutes."""
        self._saved_when, self._asked = monotonic(), False
        self._agreement.start(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what the epoch before, its validation included, has left."""
        self.save(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save every N steps or minutes, when the step before is over."""
        if batch_idx == 0 or batch_idx % trainer.accumulate_grad_batches:
            return
        by_clock = self.every_n_minutes is not None and self._is_time(trainer)
        if by_clock or (self.every_n_steps and trainer.global_step % self.every_n_steps == 0):
            self.save(trainer)

    def _is_time(self, trainer: pl.Trainer) -> bool:
        """Tell whether the minutes are over, on every rank at the same step."""
        assert self.every_n_minutes is not None
        over = monotonic() - self._saved_when >= 60 * self.every_n_minutes
        asks = over and trainer.is_global_zero and not self._asked
        self._asked = self._asked or asks
        return self._agreement.largest(trainer, int(asks)) > 0

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Part from the other ranks."""
        self._agreement.finish()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Rewrite the loop's counters to a state from which Lightning restarts correctly, and say where that is.

        Without the rewrite a whole epoch vanishes silently at some of the points. A checkpoint that is saved at any
        other moment, or by a ModelCheckpoint in a validation that cuts an optimiser's step in two, is left as it is
        and gets no position.
        """
        for logger in trainer.loggers:
            logger.save()  # TensorBoard writes in its own thread; a continued run never draws what is missing
        loop = copy.deepcopy(checkpoint["loops"]["fit_loop"])
        position = _restartable(loop, trainer)
        if position is not None:
            checkpoint["loops"]["fit_loop"], checkpoint["position"] = loop, position

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Tell the data where the run goes on, and ModelCheckpoint where its folder stands now.

        Raises:
            ValueError: if training shall go on from a checkpoint that has no position.
        """
        if trainer.state.fn != TrainerFn.FITTING:
            return
        position = checkpoint.get("position")
        if position is None:
            raise ValueError(
                "This checkpoint was written inside a step: it holds weights, not the place where training goes on. "
                f"Continue from {self.path}."
            )
        trainer.datamodule.start_at(position["epoch"], position["batches"])  # type: ignore[attr-defined]
        if position["batches"] == 0:  # best.ckpt was saved before the epoch's end emptied them
            for module in pl_module.modules():
                if isinstance(module, Metric):
                    module.reset()
        self._saved_at = checkpoint["global_step"] if Path(self.path).exists() else -1
        for callback in trainer.checkpoint_callbacks:
            state = checkpoint["callbacks"].get(callback.state_key)
            if isinstance(callback, ModelCheckpoint) and state:
                _rebase(state, str(callback.dirpath))
                if not Path(state["best_model_path"] or ".").exists():  # damaged: the best of what is left, then
                    del checkpoint["callbacks"][callback.state_key]


def _restartable(loop: dict[str, Any], trainer: pl.Trainer) -> dict[str, int] | None:
    """Change the fit loop's counters in place; return {"epoch": .., "batches": ..}, the global batches that are done.

    Returns:
        None if Lightning cannot restart exactly from this moment; what was changed is of no use then.
    """
    batches, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]
    ready, slices = batches["current"]["ready"], trainer.accumulate_grad_batches
    epoch_is_over = batches["is_last_batch"] or ready == trainer.num_training_batches
    if trainer.validating and epoch_is_over:  # ModelCheckpoint: as if at the next epoch's start
        _add(epochs, "processed", 1)
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] += 1
        return {"epoch": epochs["current"]["processed"], "batches": 0}
    if trainer.validating and ready % slices == 0:  # inside the epoch: as if after on_train_batch_end
        _add(batches, "completed", -1)
    elif ready == batches["current"]["started"] + 1:  # on_train_batch_start: after on_train_batch_end of the one before
        _add(batches, "ready", -1)
        _add(batches, "completed", -1)
        batches["is_last_batch"] = False
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
    elif epochs["current"]["ready"] == epochs["current"]["started"] + 1:  # on_train_epoch_start
        _add(epochs, "ready", -1)
        _add(epochs, "completed", -1)
        return {"epoch": epochs["current"]["processed"], "batches": 0}
    else:
        return None
    return {"epoch": epochs["current"]["processed"], "batches": batches["current"]["ready"] // slices}


def _add(progress: dict[str, Any], name: str, number: int) -> None:
    for counter in ("current", "total"):
        progress[counter][name] += number


def _rebase(state: dict[str, Any], folder: str) -> None:
    """Move a ModelCheckpoint's saved paths to `folder`: it forgets its best score where they differ."""

    def moved(path: str) -> str:
        """Return the path in the folder; "" of what is none."""
        name = Path(path).name
        return "" if name in ("", "..") else str(Path(folder) / name)  # ModelCheckpoint deletes what it replaces

    state["dirpath"] = folder
    for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[name] = moved(state[name])
    state["best_k_models"] = {moved(path): score for path, score in state["best_k_models"].items()}
