"""metrics.csv: the scores of every epoch, one row each. Lightning's CSVLogger deletes its rows on a resume."""

import logging
from typing import Any, final

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from segfield.callbacks.throughput import NAMES as TIMES
from segfield.callbacks.throughput import rates
from segfield.files import append_lines, cut_rows

_OF_GROUPS = "val/dice_group"  # where it is scored, it is what was asked for
_log = logging.getLogger(__name__)


@final
class MetricsCsv(Callback):
    """Append epoch,step,<names>: a row at each epoch's end; empty where an epoch has no such score.

    Args:
        path: of the file, inside the run folder.
    """

    def __init__(self, path: str = "metrics.csv") -> None:
        self.path = path
        self._names: list[str] = []
        self._validation: dict[str, Any] = {}
        self._lr = float("nan")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the header, or cut what lies beyond the checkpoint that the run goes on from; say what is missing."""
        self._names = [*pl_module.logged_names(), "lr", *TIMES]  # type: ignore[operator]  # PixelwiseTask's own
        if not trainer.is_global_zero:
            return
        rows = len(cut_rows(self.path, ["epoch", "step", *self._names], trainer.global_step))
        if rows < trainer.current_epoch:
            _log.warning("%s has %d rows for %d epochs that are over", self.path, rows, trainer.current_epoch)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note the learning rate: it is logged at some steps only."""
        self._lr = trainer.optimizers[0].param_groups[0]["lr"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the scores of this epoch's latest validation: callback_metrics may be of an earlier one, or empty."""
        if not trainer.sanity_checking:
            self._validation = {"epoch": trainer.current_epoch, "scores": self._scores(trainer, "val/")}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row, at rank 0; every rank has the same scores."""
        if not trainer.is_global_zero:
            return
        step = trainer.global_step - 1
        values = self._scores(trainer, "")
        values = {name: value for name, value in values.items() if not name.startswith("val/")}
        if self._validation.get("epoch") == trainer.current_epoch:
            values |= self._validation["scores"]
        values |= {name: str(np.float32(value)) for name, value in {"lr": self._lr, **rates(trainer)}.items()}
        row = [str(trainer.current_epoch), str(step), *(values.get(name, "") for name in self._names)]
        append_lines(self.path, [",".join(row)])
        told = dict.fromkeys(("train/loss", "val/loss", str(pl_module.monitor), _OF_GROUPS, TIMES[0]))
        scores = "  ".join(f"{name} {float(values[name]):.4g}" for name in told if name in values)
        _log.info("epoch %d/%s  %s", trainer.current_epoch + 1, trainer.max_epochs, scores)

    def _scores(self, trainer: pl.Trainer, prefix: str) -> dict[str, str]:
        return {
            name: str(np.float32(trainer.callback_metrics[name].item()))  # the shortest that gives the float32 back
            for name in self._names
            if name in trainer.callback_metrics and name.startswith(prefix)
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the scores of an epoch that is validated and not over."""
        return self._validation

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them up."""
        self._validation = state_dict
