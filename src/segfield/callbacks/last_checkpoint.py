"""last.ckpt: everything a run needs to go on as if it had never stopped.

Lightning's ModelCheckpoint saves inside a step, before its log row and its validation; after a kill these are
lost. This one saves when everything of the step before is over. Not here: best.ckpt, which is ModelCheckpoint's.
"""

import copy
from pathlib import Path
from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn


@final
class LastCheckpoint(Checkpoint):
    """Write last.ckpt at the start of every epoch but the first, and every N steps.

    A subclass of Lightning's Checkpoint, so that it runs after every other callback.

    Args:
        path: of the checkpoint, inside the run folder.
        every_n_steps: optimiser's steps between two checkpoints inside an epoch; None saves between epochs only.
    """

    def __init__(self, path: str = "checkpoints/last.ckpt", every_n_steps: int | None = None) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"callbacks.last.every_n_steps must be at least 1, or null; got {every_n_steps}.")
        self.path, self.every_n_steps = path, every_n_steps
        self._saved_at = -1

    def save(self, trainer: pl.Trainer) -> None:
        """Save now. Call it in on_train_batch_start of the batch that opens a step, or in on_train_epoch_start."""
        if trainer.global_step not in (0, self._saved_at):
            trainer.save_checkpoint(self.path)
            self._saved_at = trainer.global_step

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what the epoch before, its validation included, has left."""
        self.save(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save every N steps, when the step before is over."""
        opens_step = batch_idx > 0 and batch_idx % trainer.accumulate_grad_batches == 0
        if opens_step and self.every_n_steps and trainer.global_step % self.every_n_steps == 0:
            self.save(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Rewrite the loop's counters to a state from which Lightning restarts correctly, and say where that is.

        Without the rewrite a whole epoch vanishes silently at some of the points. best.ckpt, saved during
        validation, is left as it is, and gets no position.
        """
        loop = checkpoint["loops"]["fit_loop"] = copy.deepcopy(checkpoint["loops"]["fit_loop"])
        batches, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]
        inside = batches["current"]["ready"] == batches["current"]["started"] + 1
        if inside:  # on_train_batch_start: as if after on_train_batch_end of the batch before
            for counter in ("current", "total"):
                batches[counter]["ready"] -= 1
                batches[counter]["completed"] -= 1
            batches["is_last_batch"] = False
            loop["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
        elif epochs["current"]["ready"] == epochs["current"]["started"] + 1:  # on_train_epoch_start
            for counter in ("current", "total"):
                epochs[counter]["ready"] -= 1
                epochs[counter]["completed"] -= 1
        else:
            return
        done = batches["current"]["ready"] // trainer.accumulate_grad_batches if inside else 0
        checkpoint["position"] = {"epoch": epochs["current"]["processed"], "batches": done}

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
                "This checkpoint was written inside an epoch (best.ckpt is): it holds weights, not the place where "
                f"training goes on. Continue from {self.path}."
            )
        trainer.datamodule.start_at(position["epoch"], position["batches"])  # type: ignore[attr-defined]
        self._saved_at = checkpoint["global_step"]
        for callback in trainer.checkpoint_callbacks:
            state = checkpoint["callbacks"].get(callback.state_key)
            if isinstance(callback, ModelCheckpoint) and state:
                _rebase(state, str(callback.dirpath))


def _rebase(state: dict[str, Any], folder: str) -> None:
    """Move a ModelCheckpoint's saved paths to `folder`: it forgets its best score where they differ."""

    def moved(path: str) -> str:
        return str(Path(folder) / Path(path).name) if path else path

    state["dirpath"] = folder
    for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[name] = moved(state[name])
    state["best_k_models"] = {moved(path): score for path, score in state["best_k_models"].items()}
