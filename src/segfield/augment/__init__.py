"""Augmentation of training batches: parameters are drawn per sample, pixels are changed on the device of the batch.

What happens to a sample is a pure function of (seed, epoch, index): it does not depend, in any bit, on the batch or the
rank that holds the sample, nor on torch's random state. draws.py has the random numbers, geometry.py the parameters of
maps, pixels.py what moves, colour.py what changes values. Normalisation is not done here.
"""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from segfield.augment.colour import Colour
from segfield.augment.draws import FLIPS, Draws, checked_probability
from segfield.augment.geometry import Affine, Elastic
from segfield.augment.pixels import MOVED, Mask, deform, flip

_TOLERANCE = 1e-3  # of values in [0, 1]: rounding


@final
class Augmentation:
    """Change samples at random: mirror, map, deform, then colour the image.

    Image, target, valid and weight of a sample move together, once: flips, map and deformation are one warp. A sample
    that is only mirrored, or left alone, keeps its bits.

    Args:
        horizontal_flip: probability that left and right change places.
        vertical_flip: probability that top and bottom change places.
        affine: maps samples.
        elastic: deforms samples.
        colour: changes of the image by any names, one after the other; None leaves one out.

    Raises:
        ValueError: if a probability is outside [0, 1], or a change is none.
    """

    def __init__(
        self,
        horizontal_flip: float = 0.0,
        vertical_flip: float = 0.0,
        affine: Affine | None = None,
        elastic: Elastic | None = None,
        colour: Mapping[str, Colour | None] | None = None,
    ) -> None:
        self.horizontal_flip = checked_probability("augmentation.horizontal_flip", horizontal_flip)
        self.vertical_flip = checked_probability("augmentation.vertical_flip", vertical_flip)
        kept = {name: change for name, change in (colour or {}).items() if change is not None}
        changes = (
            ("affine", affine, Affine, "geometry.Affine"),
            ("elastic", elastic, Elastic, "geometry.Elastic"),
            *((f"colour.{name}", change, Colour, "colour.Brightness") for name, change in kept.items()),
        )
        for name, change, kind, example in changes:
            if change is not None and not isinstance(change, kind):
                raise ValueError(
                    f"augmentation.{name} is a {type(change).__name__}, expected a change of segfield.augment. "
                    f"Use augmentation.{name}._target_=segfield.augment.{example}, or ~augmentation.{name}."
                )
        self.affine, self.elastic, self.colour = affine, elastic, kept

    @torch.no_grad()
    def __call__(self, batch: dict[str, Any], seed: int, epoch: int) -> dict[str, Any]:
        """Augment a batch, which itself stays as it is.

        Args:
            batch: index [N] int64, the position of each sample in its data set, and any of image, target, valid and
                weight, [N, ..., H, W] or None. Images are float where more than flips is asked for, in [0, 1] where
                colours change. The indices are read on the host; nothing else waits for the device.
            seed: at least 0.
            epoch: at least 0.

        Returns:
            A new dict; where nothing changes, its tensors are those of the batch.

        Raises:
            ValueError: if the seed is negative, or the batch does not fit a change.
        """
        if seed < 0:
            raise ValueError(f"Augmentation needs a seed of at least 0; got {seed}. Use seed=0.")
        result = dict(batch)
        moves = self.horizontal_flip > 0 or self.vertical_flip > 0 or self.affine or self.elastic
        if not moves and not self.colour:
            return result
        draws = Draws(seed, epoch, batch["index"].tolist())
        if moves:
            self._move(result, draws)
        if self.colour:
            result["image"] = self._recolour(result["image"], draws)
        return result

    def _move(self, batch: dict[str, Any], draws: Draws) -> None:
        """Move the entries of a batch, which are replaced."""
        # Both numbers are always drawn: a probability of 0 does not move the other's draw. They are below 1.
        flips: Mask = draws.uniform(FLIPS, 2) < (self.horizontal_flip, self.vertical_flip)
        size = next((tuple(batch[key].shape[-2:]) for key in MOVED if batch.get(key) is not None), None)
        moved = np.zeros(len(flips), dtype=np.bool_)
        sources, displacements = np.tile(np.eye(2, 3), (len(flips), 1, 1)), None
        if self.affine and size:
            sources = self.affine.sources(draws, size)
            moved |= (sources != np.eye(2, 3)).any((1, 2))
        if self.elastic and size:
            displacements = self.elastic.displacements(draws, size)
            moved |= (displacements != 0).any((1, 2, 3))
        # A warped sample is mirrored by its map: the change of sign turns the source around.
        sources *= np.where(flips, -1.0, 1.0)[:, :, None]
        flip(batch, *(flips & ~moved[:, None]).T)
        deform(batch, moved, sources, displacements)

    def _recolour(self, image: Tensor, draws: Draws) -> Tensor:
        if image.device.type == "cpu":  # elsewhere the host would wait; check looks at a sample on the CPU in any case
            low, high = (float(value) for value in image.aminmax())
            if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
                raise ValueError(
                    f"augmentation.colour changes images with values in [0, 1]; this one has {low:g} to {high:g}. "
                    "Use ~augmentation.colour, or scale the images."
                )
        earlier: dict[int, int] = {}
        for change in self.colour.values():
            before = earlier.get(change.stream, 0)
            image = change.apply(image, draws, before)
            earlier[change.stream] = before + 1
        return image
