"""Lightning's rich progress bar with names that fit a terminal of 80 columns: loss, dice, images/s."""

from typing import final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar

_SHORT = {"train/loss_step": "loss", "time/images_per_second": "images/s"}


@final
class ProgressBar(RichProgressBar):
    """Show the loss of the step, the monitored score of the last validation, and images per second."""

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what the bar shows, by short names: val/dice becomes dice."""
        shown = super().get_metrics(trainer, pl_module)
        return {_SHORT.get(name, name.rpartition("/")[2]): value for name, value in shown.items() if name != "v_num"}
