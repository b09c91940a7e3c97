"""Predictions as PNG files, one or two per sample. Which samples: the data module's predict_part."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor

from segfield.files import clear_temporaries, whole


@final
class PredictionWriter(BasePredictionWriter):
    """Write <folder>/<id>.png for every sample: 255 where its probability is above task.threshold, else 0.

    Each rank writes the samples it has, each file whole. The file has the size of the network's output: where that is
    smaller than the image (border=none) it is the image's centre. Files that stand already are left as they are, so
    that a prediction which was stopped goes on; they may be of other weights.

    Args:
        folder: of the masks, inside the run folder; the subfolders of an id are made in it.
        probabilities: folder of the probabilities, as 16-bit PNG: 65535 is 1. None: not written.
        overwrite: write files anew that stand already.

    Raises:
        ValueError: if both folders are the same.
    """

    def __init__(
        self, folder: str = "predictions", probabilities: str | None = None, *, overwrite: bool = False
    ) -> None:
        super().__init__("batch")
        if probabilities is not None and Path(probabilities) == Path(folder):
            raise ValueError(
                f"Masks and probabilities would both be {folder}/<id>.png: expected two folders. "
                "Use probabilities=probabilities."
            )
        self.folder, self.probabilities, self.overwrite = folder, probabilities, overwrite

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Clear away what a killed prediction was writing; no rank writes yet."""
        if stage != "predict" or not trainer.is_global_zero:
            return
        for folder in filter(None, (self.folder, self.probabilities)):
            for place in (Path(folder), *Path(folder).rglob("*/")):
                clear_temporaries(place)

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write a batch.

        Raises:
            ValueError: if the task predicts more than one channel, or an id leads out of its folder.
            OSError: if a file cannot be written.
        """
        values: Tensor = prediction["prediction"]
        if values.shape[1] != 1:
            raise ValueError(
                f"PredictionWriter writes one channel, the probability of foreground; got {values.shape[1]}. "
                "Use task=binary."
            )
        masks = (values[:, 0] > pl_module.threshold).cpu().numpy()  # type: ignore[operator]  # PixelwiseTask's own
        for name, mask in zip(prediction["id"], masks, strict=True):
            self._write(self.folder, name, mask * np.uint8(255))
        if self.probabilities is not None:
            for name, value in zip(prediction["id"], values[:, 0].cpu().numpy(), strict=True):
                self._write(self.probabilities, name, np.rint(value * 65535).astype(np.uint16))

    def _write(self, folder: str, name: str, pixels: np.ndarray) -> None:
        path = Path(folder, f"{name}.png")
        if ".." in Path(name).parts or not path.resolve().is_relative_to(Path(folder).resolve()):
            raise ValueError(
                f"The sample id {name!r} leads out of {folder}/, where its prediction belongs. Rename the sample: a "
                "relative path without '..', and without links out of the folder."
            )
        if self.overwrite or not path.exists():
            with whole(path) as file:
                Image.fromarray(pixels).save(file, format="png")
