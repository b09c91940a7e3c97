"""Heads: what turns the logits of a regression into the values that are asked for, here densities.

A head is called (logits, valid, image): with the image that the network saw, because neither a residual nor a mass that
is kept can be known from logits and valid pixels alone. Activations of probabilities are torch's own, not heads.
The last channel of the image is the current density times `scale`. Densities are probabilities per cell, float32, also
under autocast, and 0 outside `valid`.
"""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from segfield.densities import checked_scale
from segfield.spatial import inside


class _Head(nn.Module, ABC):
    """What heads have in common. Not to be used by itself.

    Args:
        scale: data.density_scale, above 0.

    Raises:
        ValueError: if the scale is outside its range.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = checked_scale("head", self, scale)

    def forward(self, logits: Tensor, valid: Tensor | None, image: Tensor) -> Tensor:
        """Give densities.

        Args:
            logits: [N, 1, H, W].
            valid: [N, 1, H, W] bool; None: all.
            image: [N, C, H, W], cropped to the logits.

        Returns:
            [N, 1, H, W], 0 outside.

        Raises:
            ValueError: if the shapes do not fit one another.
        """
        _check_shapes(self, logits, valid, image)
        return inside(self._density(logits.float(), valid, image[:, -1:].float()), valid)

    @abstractmethod
    def _density(self, logits: Tensor, valid: Tensor | None, current: Tensor) -> Tensor:
        """Return the next density, anything outside, of the logits and of the current density times `scale`."""


@final
class Plain(_Head):
    """Take the logits for the density itself: logits / scale. It may be negative, and of any mass."""

    def _density(self, logits: Tensor, valid: Tensor | None, current: Tensor) -> Tensor:
        return logits / self.scale


@final
class Residual(_Head):
    """Take the logits for the change of the density: (image[:, -1:] + logits) / scale.

    A network that gives 0 everywhere is persistence. The density may be negative, and of any mass.
    Reference: Jenkins et al. 2022 (UncertainDrift), whose target is p(t+1) - p(t).
    """

    def _density(self, logits: Tensor, valid: Tensor | None, current: Tensor) -> Tensor:
        return (current + logits) / self.scale


@final
class Conserving(_Head):
    """Share the current mass out over the valid cells: softmax of the logits times the sum of image[:, -1:] / scale.

    Neither negative nor of another mass than before, at each step; what leaves the region cannot leave here. A sample
    without a valid cell has density 0.
    """

    def _density(self, logits: Tensor, valid: Tensor | None, current: Tensor) -> Tensor:
        mass = inside(current, valid).flatten(1).sum(1) / self.scale
        if valid is not None:
            # Where nothing is valid -inf everywhere would be NaN, in the gradient too.
            nowhere = ~valid.flatten(1).any(1).view(-1, 1, 1, 1)
            logits = torch.where(valid, logits, torch.where(nowhere, 0.0, float("-inf")))
        return torch.softmax(logits.flatten(1), 1).view_as(logits) * mass.view(-1, 1, 1, 1)


def _check_shapes(head: nn.Module, logits: Tensor, valid: Tensor | None, image: Tensor) -> None:
    """Refuse shapes that broadcasting would accept."""
    name = type(head).__name__
    if logits.ndim != 4 or logits.shape[1] != 1:
        raise ValueError(
            f"{name} needs logits [N, 1, H, W], one density; got {list(logits.shape)}. Use data.out_channels=1, or "
            "'head=[]' for classes."
        )
    size = (len(logits), *logits.shape[2:])
    for word, given in (("valid", valid), ("image", image)):
        if given is not None and (given.ndim != 4 or (len(given), *given.shape[2:]) != size):
            raise ValueError(
                f"{name} needs {word} in N, H and W of the logits; got {word} {list(given.shape)} for logits "
                f"{list(logits.shape)}. Crop it to them: PixelwiseTask.predict_batch does."
            )
