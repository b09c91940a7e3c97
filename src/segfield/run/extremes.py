"""Panels of the worst and the best images of an evaluation, drawn while it goes through them."""

import heapq
import re
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
from PIL import Image
from torch import Tensor

from segfield.data.sample import Sample
from segfield.figures import panel
from segfield.figures.classes import class_panel, palette
from segfield.files import whole

FOLDER = Path("evaluation")
_PANELS = FOLDER / "panels"
_SHOWN = 4  # panels of the worst images, and of the best
_HEIGHT = 320  # of a panel, pixels


class Scored(NamedTuple):
    """An image at its own size: arrays [H, W], image [C, H, W], counts [3, F]."""

    sample: Sample
    image: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    inside: np.ndarray
    counts: Tensor


@final
class Extremes:
    """The worst and the best images so far, as panels: no more than these are held.

    Args:
        data: module that the images are of.
    """

    def __init__(self, data: Any) -> None:
        self._data = data
        self._worst: list[tuple[int, str, np.ndarray]] = []
        self._best: list[tuple[int, str, np.ndarray]] = []

    def add(self, dice: int, scored: Scored) -> None:
        """Draw an image if it is among the worst or the best so far; of equal ones the first are kept."""
        for heap, key in ((self._worst, -dice), (self._best, dice)):
            if len(heap) == _SHOWN and key <= heap[0][0]:
                continue
            entry = (key, scored.sample.id, self._draw(scored))
            (heapq.heappushpop if len(heap) == _SHOWN else heapq.heappush)(heap, entry)

    def _draw(self, scored: Scored) -> np.ndarray:
        valid, data = None if scored.inside.all() else scored.inside, self._data
        arrays = scored.image.transpose(1, 2, 0), scored.truth, scored.predicted
        if data.out_channels == 1:
            return panel(*arrays, height=_HEIGHT, valid=valid)
        return class_panel(*arrays, palette(data.out_channels, data.colours), data.classes, _HEIGHT, valid)

    def write(self, part: str, kept: list[str], images: int) -> None:
        """Write <part>_worst_01_<id>.png and so on.

        Args:
            part: that was evaluated.
            kept: parts whose panels stay.
            images: number of the part's; no image is among both the worst and the best, but one that is alone.
        """
        for path in _PANELS.glob("*.png") if _PANELS.is_dir() else ():
            if path.name.split("_")[0] not in kept:
                path.unlink()
        number = max(1, min(_SHOWN, images // 2))
        for kind, heap in (("worst", self._worst), ("best", self._best)):
            for place, (_, name, drawn) in enumerate(sorted(heap, key=lambda one: (-one[0], one[1]))[:number], 1):
                plain = re.sub(r"[^\w.-]", "_", name)[-80:]
                with whole(_PANELS / f"{part}_{kind}_{place:02}_{plain}.png") as file:
                    Image.fromarray(drawn).save(file, format="png")
