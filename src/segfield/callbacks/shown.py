"""What callbacks that draw have in common: where pictures go, and the same fixed validation samples each epoch."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, final

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from segfield.data.loader import collate


def writers(trainer: pl.Trainer) -> list[TensorBoardLogger]:
    """Return the loggers that take pictures; none in a sanity check, and none at other ranks than the first."""
    if trainer.sanity_checking or not trainer.is_global_zero:
        return []
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def shown_step(trainer: pl.Trainer) -> int:
    """Return the step that a picture of now belongs to: where Lightning puts the scores."""
    step: int = trainer.fit_loop.epoch_loop._batches_that_stepped
    return step


def outputs_of(task: Any, items: list[dict[str, Any]]) -> tuple[Tensor, dict[str, Any]]:
    """Return what the network gives for some items, and the batch cropped to it, both on the task's device."""
    batch = task.transfer_batch_to_device(collate(items), task.device, 0)
    with torch.no_grad():
        found: tuple[Tensor, dict[str, Any]] = task.predict_batch(task.prepare(batch))
    return found


class FixedSamples(Callback, ABC):
    """Draw some validation samples after every validation. Not to be used by itself.

    They are read apart from the validation's own batches, so a picture changes neither data nor scores.

    Args:
        samples: how many, spread evenly over the validation part.
        height: of a picture, pixels; of one of an image, at most.

    Raises:
        ValueError: if there is no such number of samples, or the height is below `least`.
    """

    least: ClassVar[int] = 1  # pixels of a picture

    def __init__(self, samples: int = 4, height: int = 256) -> None:
        for name, value, least, usual in (("samples", samples, 0, 4), ("height", height, self.least, 256)):
            if value < least:
                raise ValueError(f"callbacks.panels.{name} must be {least} or more; got {value}. Use {usual}.")
        self.samples, self.height = samples, height
        self._items: list[dict[str, Any]] = []

    @abstractmethod
    def draw(self, task: Any, data: Any, item: dict[str, Any]) -> np.ndarray:
        """Draw one sample: [h, w, 3] uint8."""

    @final
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Predict the samples and give the pictures to TensorBoard as panels/<id>, against the global step."""
        loggers = writers(trainer)
        if not loggers:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # PixelwiseData
        if not self._items:
            part = data.indices("val")
            chosen = np.linspace(0, len(part) - 1, min(self.samples, len(part))).round().astype(int)
            self._items = [data.item(part[place]) for place in chosen]
        for item in self._items:
            picture = self.draw(pl_module, data, item)
            for logger in loggers:
                logger.experiment.add_image(f"panels/{item['id']}", picture, shown_step(trainer), dataformats="HWC")
