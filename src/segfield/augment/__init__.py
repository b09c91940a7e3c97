"""Augmentation of training batches: parameters are drawn per sample, pixels are changed on the device of the batch.

What happens to a sample is a pure function of (seed, epoch, index): it does not depend, in any bit, on the batch or the
rank that holds the sample, nor on torch's random state. draws.py has the random numbers, geometry.py the parameters of
maps, pixels.py what moves, colour.py what changes values, rules.py what becomes of currents. Normalisation is not done
here.
"""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from segfield.augment.colour import Colour
from segfield.augment.draws import FLIPS, TURNS, Draws, checked_probability
from segfield.augment.geometry import Affine, Elastic
from segfield.augment.pixels import MOVED, Counts, Mask, deform, flip, turn
from segfield.augment.rules import obey, verify

_TOLERANCE = 1e-3  # of values in [0, 1]: rounding


@final
class Augmentation:
    """Change samples at random: mirror, turn, map, deform, then colour the image.

    Image, target, valid and weight of a sample move together, once: flips, turn, map and deformation are one warp. A
    sample that is only mirrored or turned, or left alone, keeps its bits. Currents are mirrored and turned by the
    rules of their batch, rules.py.

    Args:
        horizontal_flip: probability that left and right change places.
        vertical_flip: probability that top and bottom change places.
        affine: maps samples.
        elastic: deforms samples.
        colour: changes of the image by any names, one after the other; None leaves one out.
        quarter_turn: probability of a turn by 90, 180 or 270 degrees, each alike; pictures must be square. In others a
            turn by 180 degrees is what both flips together are.

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
        quarter_turn: float = 0.0,
    ) -> None:
        self.horizontal_flip = checked_probability("augmentation.horizontal_flip", horizontal_flip)
        self.vertical_flip = checked_probability("augmentation.vertical_flip", vertical_flip)
        self.quarter_turn = checked_probability("augmentation.quarter_turn", quarter_turn)
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
                weight, [N, ..., H, W] or None. Images are float where more than flips and turns is asked for, in [0, 1]
                where colours change. Fields of the sea have `rules`, a word for each channel, and `aspect` [N], see
                rules.py. The indices are read on the host; nothing else waits for the device.
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
        flips, turns = self.horizontal_flip > 0 or self.vertical_flip > 0, self.quarter_turn > 0
        moves = flips or turns or self.affine or self.elastic
        if not moves and not self.colour:
            return result
        if batch.get("rules") is not None:
            warp = "affine" if self.affine else "elastic" if self.elastic else ""
            verify(batch["rules"], flips=flips, turns=turns, warp=warp, colour=bool(self.colour))
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
        turns = self._turns(draws, size, "rules" in batch)
        if batch.get("rules") is not None:
            batch["image"] = obey(batch["image"], batch["rules"], batch.get("aspect"), batch.get("valid"), flips, turns)
        moved = np.zeros(len(flips), dtype=np.bool_)
        sources, displacements = np.tile(np.eye(2, 3), (len(flips), 1, 1)), None
        if self.affine and size:
            sources = self.affine.sources(draws, size)
            moved |= (sources != np.eye(2, 3)).any((1, 2))
        if self.elastic and size:
            displacements = self.elastic.displacements(draws, size)
            moved |= (displacements != 0).any((1, 2, 3))
        # A warped sample is turned and mirrored by its map: they turn the source around.
        for number in (1, 2, 3):
            sources[turns >= number] = sources[turns >= number][:, ::-1] * ((-1.0,), (1.0,))
        sources *= np.where(flips, -1.0, 1.0)[:, :, None]
        flip(batch, *(flips & ~moved[:, None]).T)
        turn(batch, np.where(moved, 0, turns))
        deform(batch, moved, sources, displacements)

    def _turns(self, draws: Draws, size: tuple[int, int] | None, sea: bool) -> Counts:
        """Draw how many quarter turns each sample makes, 0 to 3: [N]; of pictures, or of fields of the sea."""
        if not self.quarter_turn:
            return np.zeros(len(draws.indices), dtype=np.int64)
        if size and size[0] != size[1]:
            square = "prepare a set with a region=[S,N,W,E] as many degrees high as wide" if sea else ""
            raise ValueError(
                f"augmentation.quarter_turn={self.quarter_turn:g} needs as many rows as columns; here are "
                f"{size[0]}x{size[1]}. Use augmentation.quarter_turn=0, or "
                f"{square or f'data.size=[{min(size)},{min(size)}]'}."
            )
        drawn = draws.uniform(TURNS, 2)
        return np.where(drawn[:, 0] < self.quarter_turn, 1 + (3 * drawn[:, 1]).astype(np.int64), 0)

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
