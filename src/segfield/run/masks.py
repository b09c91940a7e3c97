"""What a prediction writes for one image: its mask, and by choice an overlay and the probabilities; each file whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from segfield.figures import overlay
from segfield.figures.classes import palette
from segfield.files import clear_temporaries, whole

MASKS, OVERLAYS, PROBABILITIES = "masks", "overlays", "probabilities"
RECORD = "predict.yaml"  # marks their folder, and says of which run they are


@final
@dataclass(frozen=True)
class Results:
    """The files of a prediction.

    Args:
        folder: of all of them.
        classes: names, the background's first.
        colours: of the classes; None: figures' own.
        overlays: draw each mask on its image.
        probabilities: write them too.
    """

    folder: Path
    classes: Sequence[str]
    colours: Sequence[str] | None
    overlays: bool
    probabilities: bool

    def mask(self, name: str) -> Path:
        """Return where the mask of an image is."""
        return self.folder / MASKS / f"{name}.png"

    def done(self, name: str) -> bool:
        """Tell whether all files of an image stand."""
        files = [self.mask(name)]
        if self.overlays:
            files.append(self.folder / OVERLAYS / f"{name}.jpg")
        if self.probabilities:
            files += [self._probability(name, label) for label in self.classes[1:]]
        return all(file.is_file() for file in files)

    def clear(self) -> None:
        """Clear away what a killed prediction was writing."""
        clear_temporaries(self.folder)
        for kind in (MASKS, OVERLAYS, PROBABILITIES):
            for place in (self.folder / kind, *(self.folder / kind).rglob("*/")):
                clear_temporaries(place)

    def write(self, name: str, predicted: np.ndarray, image: np.ndarray | None, values: np.ndarray | None) -> None:
        """Write the files of an image, the mask last.

        Args:
            name: relative path without extension.
            predicted: [H, W] class indices.
            image: [C, H, W]; None: no overlay.
            values: [K, H, W] probabilities in [0, 1]; None: not written.
        """
        several = len(self.classes) > 2
        colours = palette(len(self.classes), self.colours) if several else None
        if image is not None:
            drawn = overlay(image.transpose(1, 2, 0), predicted, colours)
            with whole(self.folder / OVERLAYS / f"{name}.jpg") as file:
                Image.fromarray(drawn).save(file, format="jpeg", quality=90)
        if values is not None:
            of_foreground = values[1:] if len(values) > 1 else values
            for label, value in zip(self.classes[1:], of_foreground, strict=True):
                with whole(self._probability(name, label)) as file:
                    Image.fromarray(np.rint(value * 65535).astype(np.uint16)).save(file, format="png")
        mask = Image.fromarray(predicted.astype(np.uint8) * np.uint8(1 if several else 255))
        if colours is not None:
            mask.putpalette(colours.tobytes())
        with whole(self.mask(name)) as file:  # bits: else few classes are packed to 4 bits or less, for other readers
            mask.save(file, format="png", compress_level=3, bits=8)

    def _probability(self, name: str, label: str) -> Path:
        folder = self.folder / PROBABILITIES
        return (folder / label if len(self.classes) > 2 else folder) / f"{name}.png"


def read_mask(path: Path) -> np.ndarray:
    """Read a mask of here: [H, W] of 0 and 255, or class indices.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        with Image.open(path) as file:
            return np.array(file)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path} is no mask any more: {error}. Delete it, and give the command again.") from error
