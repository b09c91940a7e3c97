"""TensorBoard pictures of the same fixed validation samples, each epoch.

One output channel: image | truth against prediction | overlay.
Several classes, each in its colour: image | truth | prediction | comparison.
"""

from typing import Any, final

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from segfield.data.loader import collate
from segfield.figures import panel
from segfield.figures.classes import class_panel, palette
from segfield.spatial import centre_crop


@final
class Panels(Callback):
    """Draw some validation samples after every validation.

    The samples are read apart from the validation's own batches, so a picture changes neither data nor scores.

    Args:
        samples: how many, spread evenly over the validation part.
        height: of a picture, pixels at most.
    """

    def __init__(self, samples: int = 4, height: int = 256) -> None:
        self.samples, self.height = samples, height
        self._items: list[dict[str, Any]] = []

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Predict the samples and give the pictures to TensorBoard, against the global step."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if trainer.sanity_checking or not trainer.is_global_zero or not loggers:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # PixelwiseData
        if not self._items:
            part = data.indices("val")
            chosen = np.linspace(0, len(part) - 1, min(self.samples, len(part))).round().astype(int)
            self._items = [data.item(part[place]) for place in chosen]
        for item in self._items:
            picture = self._draw(pl_module, data, item)
            for logger in loggers:
                step = trainer.fit_loop.epoch_loop._batches_that_stepped  # where Lightning puts the scores
                logger.experiment.add_image(f"panels/{item['id']}", picture, step, dataformats="HWC")

    def _draw(self, task: Any, data: Any, item: dict[str, Any]) -> np.ndarray:
        batch = task.transfer_batch_to_device(collate([item]), task.device, 0)
        with torch.no_grad():
            logits, batch = task.predict_batch(task.prepare(batch))
            values = task.activation(logits.float())[0].cpu()
        shown = centre_crop(item["image"], logits.shape[-2:]).permute(1, 2, 0).numpy()
        valid = batch["valid"][0, 0].cpu().numpy() if "valid" in batch else None
        truth = batch["target"][0].cpu().numpy()
        if len(values) == 1:
            return panel(shown, truth, (values[0] > task.threshold).numpy(), height=self.height, valid=valid)
        colours, predicted = palette(len(values), data.colours), values.argmax(0).numpy()
        return class_panel(shown, truth, predicted, colours, data.classes, height=self.height, valid=valid)
