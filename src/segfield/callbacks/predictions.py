"""Predictions as PNG files, one or two per sample. Which samples: the data module's predict_part."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor

from segfield.figures.classes import palette
from segfield.files import clear_temporaries, whole


@final
class PredictionWriter(BasePredictionWriter):
    """Write <folder>/<id>.png for every sample: 255 where its probability is above task.threshold, else 0.

    Of several classes it is the number of the one with the largest probability, 8 bits with a palette: pictures show
    data.colours, and np.asarray(Image.open(file)) gives the numbers.

    Each rank writes the samples it has, each file whole. The file has the size of the network's output: where that is
    smaller than the image (border=none) it is the image's centre. Files that stand already are left as they are, so
    that a prediction which was stopped goes on; they may be of other weights.

    Args:
        folder: of the masks, inside the run folder; the subfolders of an id are made in it.
        probabilities: folder of the probabilities, as 16-bit PNG: 65535 is 1. Several classes have a folder each,
            <probabilities>/<class>. None: not written.
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
            ValueError: if an id leads out of its folder.
            OSError: if a file cannot be written.
        """
        values: Tensor = prediction["prediction"].cpu()
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # PixelwiseData
        if values.shape[1] == 1:
            masks, colours = (values[:, 0] > pl_module.threshold) * 255, None  # type: ignore[operator]  # the task's own
        else:
            masks, colours = values.argmax(1), palette(values.shape[1], data.colours).tobytes()
        channels = [""] if colours is None else data.classes
        for name, mask, value in zip(prediction["id"], masks.numpy().astype(np.uint8), values.numpy(), strict=True):
            self._write(self.folder, name, mask, colours)
            if self.probabilities is not None:
                for channel, probability in zip(channels, value, strict=True):
                    folder = Path(self.probabilities, channel)
                    self._write(folder, name, np.rint(probability * 65535).astype(np.uint16))

    def _write(self, folder: str | Path, name: str, pixels: np.ndarray, colours: bytes | None = None) -> None:
        path = Path(folder, f"{name}.png")
        if ".." in Path(name).parts or not path.resolve().is_relative_to(Path(folder).resolve()):
            raise ValueError(
                f"The sample id {name!r} leads out of {folder}/, where its prediction belongs. Rename the sample: a "
                "relative path without '..', and without links out of the folder."
            )
        if self.overwrite or not path.exists():
            with whole(path) as file:
                picture = Image.fromarray(pixels)
                if colours is None:
                    picture.save(file, format="png")
                else:
                    picture.putpalette(colours)
                    picture.save(file, format="png", bits=8)
