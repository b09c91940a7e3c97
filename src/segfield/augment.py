"""Augmentation of training batches: parameters are drawn per sample, pixels are moved on the device of the batch.

What happens to a sample is a pure function of (seed, epoch, index): it does not depend on the batch or the rank that
holds the sample, nor on torch's random state. Each kind of parameter draws from a stream of its own, with a fixed place
for each number, so that a new kind never changes the draws of those before it. Normalisation is not done here.
"""

from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# One number for each kind of parameter, never used again: a changed number changes the draws of published runs.
_FLIPS = 1

_MOVED = ("image", "target", "valid", "weight")


@final
class Augmentation:
    """Mirror samples at random; image, target, valid and weight of a sample move together.

    Args:
        horizontal_flip: probability that left and right change places.
        vertical_flip: probability that top and bottom change places.

    Raises:
        ValueError: if a probability is outside [0, 1].
    """

    def __init__(self, horizontal_flip: float = 0.0, vertical_flip: float = 0.0) -> None:
        for name, probability in (("horizontal_flip", horizontal_flip), ("vertical_flip", vertical_flip)):
            if not 0 <= probability <= 1:
                raise ValueError(
                    f"augmentation.{name} is a probability in [0, 1]; got {probability}. Use 0.5, or 0 for never."
                )
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip

    def __call__(self, batch: dict[str, Any], seed: int, epoch: int) -> dict[str, Any]:
        """Augment a batch, which itself stays as it is.

        Args:
            batch: index [N] int64, the position of each sample in its data set, and any of image, target, valid and
                weight, [N, ..., H, W] or None. The indices are read on the host; nothing else waits for the device.
            seed: at least 0.
            epoch: at least 0.

        Returns:
            A new dict; where nothing moves, its tensors are those of the batch.

        Raises:
            ValueError: if the seed is negative.
        """
        if seed < 0:
            raise ValueError(f"Augmentation needs a seed of at least 0; got {seed}. Use seed=0.")
        if self.horizontal_flip == 0 and self.vertical_flip == 0:
            return dict(batch)
        horizontal, vertical = self._draw_flips(seed, epoch, batch["index"].tolist())
        result = dict(batch)
        for key in _MOVED:
            if result.get(key) is not None:
                result[key] = _flip(_flip(result[key], horizontal, dim=-1), vertical, dim=-2)
        return result

    def _draw_flips(self, seed: int, epoch: int, indices: list[int]) -> npt.NDArray[np.bool_]:
        """Decide for N samples whether they are mirrored: [2, N], horizontal and vertical."""
        # Both numbers are always drawn: a probability of 0 does not move the other's draw. They are below 1.
        drawn = np.array([_generator(seed, epoch, index, _FLIPS).random(2) for index in indices]).reshape(-1, 2)
        flips: npt.NDArray[np.bool_] = drawn < (self.horizontal_flip, self.vertical_flip)
        return flips.T


def _generator(seed: int, epoch: int, index: int, stream: int) -> np.random.Generator:
    """Start a stream of one sample: (seed, stream) is Philox's key, (index, epoch) the upper part of its counter."""
    # Word 0 of the counter runs while numbers are drawn, so no two streams overlap.
    key, counter = np.array([seed, stream], dtype=np.uint64), np.array([0, index, epoch, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def _flip(values: Tensor, chosen: npt.NDArray[np.bool_], dim: int) -> Tensor:
    """Mirror the chosen samples of values [N, ..., H, W]; chosen is [N]."""
    assert len(values) == len(chosen), f"{len(values)} samples, {len(chosen)} indices"
    if not chosen.any():
        return values
    on_device = torch.tensor(chosen).to(values.device, non_blocking=True)
    return torch.where(on_device.view(-1, *[1] * (values.ndim - 1)), values.flip(dim), values)
