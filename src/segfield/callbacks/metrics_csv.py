"""metrics.csv: the scores of every epoch, one row each. Lightning's CSVLogger deletes its rows on a resume."""

import logging
from pathlib import Path
from typing import final

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from segfield.callbacks.throughput import NAMES as TIMES
from segfield.files import append_lines, cut_rows, write_text

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
        self._validated = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the header, or cut what lies beyond the checkpoint that the run goes on from."""
        self._names = [*pl_module.logged_names(), "lr", *TIMES]  # type: ignore[operator]  # PixelwiseTask's own
        if not Path(self.path).exists():
            write_text(self.path, ",".join(["epoch", "step", *self._names]) + "\n")
        cut_rows(self.path, "step", trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that this epoch has validation scores: callback_metrics keeps those of an earlier one."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row."""
        step = trainer.global_step - 1
        values = {
            name: str(np.float32(trainer.callback_metrics[name].item()))  # the shortest that gives the float32 back
            for name in self._names
            if name in trainer.callback_metrics and (self._validated or not name.startswith("val/"))
        }
        self._validated = False
        row = [str(trainer.current_epoch), str(step), *(values.get(name, "") for name in self._names)]
        append_lines(self.path, [",".join(row)])
        told = ("train/loss", "val/loss", str(pl_module.monitor), TIMES[0])
        scores = "  ".join(f"{name} {float(values[name]):.4g}" for name in told if name in values)
        _log.info("epoch %d/%s  %s", trainer.current_epoch + 1, trainer.max_epochs, scores)
