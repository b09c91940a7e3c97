"""What callbacks that draw have in common: where pictures go, and the same fixed validation samples each epoch."""

from collections.abc import Callable
from typing import Any, final

import numpy as np
import pytorch_lightning as pl
import torch
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


@final
class FixedSamples:
    """Some validation samples, spread evenly, of which a picture goes to TensorBoard as panels/<id>.

    They are read apart from the validation's own batches, so a picture changes neither data nor scores.

    Args:
        number: of samples.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._items: list[dict[str, Any]] = []

    def show(self, trainer: pl.Trainer, draw: Callable[[Any, dict[str, Any]], np.ndarray]) -> None:
        """Give TensorBoard draw(data, item) of each sample, [h, w, 3] uint8; nothing where there is no TensorBoard."""
        loggers = writers(trainer)
        if not loggers:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # PixelwiseData
        if not self._items:
            part = data.indices("val")
            chosen = np.linspace(0, len(part) - 1, min(self.number, len(part))).round().astype(int)
            self._items = [data.item(part[place]) for place in chosen]
        for item in self._items:
            picture = draw(data, item)
            for logger in loggers:
                logger.experiment.add_image(f"panels/{item['id']}", picture, shown_step(trainer), dataformats="HWC")
