"""Losses of densities; called like the others, with the densities of a head in the place of logits.

Each is computed per sample over its valid cells, in float32, and averaged over samples. The truth is the channel
densities.NEXT of the target. Values outside `valid`, NaN included, reach neither the loss nor a gradient; a sample
without a valid cell contributes 0, and counts as a sample.
"""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from segfield.densities import NEXT, TARGETS, checked_scale
from segfield.spatial import inside


class _Regression(nn.Module, ABC):
    """A loss of the error of the density times `scale`. Not to be used by itself.

    Args:
        scale: data.density_scale, above 0.

    Raises:
        ValueError: if the scale is outside its range.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = checked_scale("loss", self, scale)

    def forward(
        self, logits: Tensor, target: Tensor, weight: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """Average the loss over the samples of a batch.

        Args:
            logits: [N, 1, H, W], densities in probability per cell.
            target: [N, 5, H, W], channels as densities.py names them.
            weight: [N, 1, H, W], of what is averaged over the cells, at least 0; None: 1 everywhere.
            valid: [N, 1, H, W] bool; None: all.

        Returns:
            A float32 scalar, at least 0.

        Raises:
            ValueError: if the shapes do not fit one another.
        """
        density, truth, cells = _cells(self, logits, target, weight, valid)
        cost = self._cost((density - truth) * self.scale)
        if weight is not None:
            cost = cost * inside(weight.float(), valid)
        return self._of_sample(cost.flatten(1).sum(1) / cells).mean()

    @abstractmethod
    def _cost(self, error: Tensor) -> Tensor:
        """Return what the error of each cell costs."""

    def _of_sample(self, mean: Tensor) -> Tensor:
        """Return the loss of each sample, [N], of the mean cost of its cells."""
        return mean


@final
class RMSE(_Regression):
    """Root of the mean squared error of the density times `scale`, at least 0; 0 is perfect, with a gradient of 0.

    The loss of the ML-Drop notes, which scale their densities so that it is of order 0.1. A weight is of the squared
    error.
    """

    def _cost(self, error: Tensor) -> Tensor:
        return error**2

    def _of_sample(self, mean: Tensor) -> Tensor:
        some = mean > 0  # the root has no gradient at 0
        return torch.where(some, torch.where(some, mean, 1.0).sqrt(), mean)


@final
class MAE(_Regression):
    """Mean absolute error of the density times `scale`, at least 0; 0 is perfect."""

    def _cost(self, error: Tensor) -> Tensor:
        return error.abs()


@final
class KL(nn.Module):
    """Kullback-Leibler divergence of the prediction from the truth [nat], at least 0; 0 is perfect.

    Sum of t log(t / p) over the valid cells, t truth and p prediction, each divided by its mass there: it asks where
    the mass is, not how much there is. Unweighted. A sample whose truth has no mass contributes 0.

    Args:
        floor: probability per cell, above 0: a smaller prediction, a negative one too, counts as this much, and has no
            gradient but that of the mass. So a plain head may learn nothing from this loss, and neither it nor a
            residual one learns the mass: it is for head=conserving.

    Raises:
        ValueError: if the floor is outside its range.
    """

    def __init__(self, floor: float = 1e-7) -> None:
        super().__init__()
        if not 0 < floor < 1:
            raise ValueError(f"loss=kl needs a floor above 0 and below 1, per cell; got {floor}. Use loss.floor=1e-7.")
        self.floor = floor

    def forward(
        self, logits: Tensor, target: Tensor, weight: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """Average the loss over the samples of a batch; arguments as those of RMSE, weight of no effect."""
        density, truth, _ = _cells(self, logits, target, weight, valid)
        floored = density.clamp(min=self.floor)
        truth = truth / _mass(truth).clamp(min=torch.finfo(torch.float32).tiny)
        # Outside the truth is 0, and the floor keeps the logarithm finite.
        predicted = floored / _mass(inside(floored, valid)).clamp(min=self.floor)
        return (torch.xlogy(truth, truth) - truth * predicted.log()).flatten(1).sum(1).mean()


def _cells(
    loss: nn.Module, logits: Tensor, target: Tensor, weight: Tensor | None, valid: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return prediction and truth, [N, 1, H, W] float32, 0 outside; and the number of valid cells, [N], at least 1."""
    _check_shapes(type(loss).__name__, logits, target, weight, valid)
    density, truth = logits.float(), target[:, NEXT : NEXT + 1].float()
    if valid is None:
        return density, truth, density.new_full(density.shape[:1], density.shape[2] * density.shape[3])
    return inside(density, valid), inside(truth, valid), valid.flatten(1).sum(1).clamp(min=1)


def _mass(density: Tensor) -> Tensor:
    return density.flatten(1).sum(1).view(-1, 1, 1, 1)


def _check_shapes(name: str, logits: Tensor, target: Tensor, weight: Tensor | None, valid: Tensor | None) -> None:
    """Refuse shapes that broadcasting would accept and count wrongly."""
    if logits.ndim != 4 or logits.shape[1] != 1:
        raise ValueError(
            f"{name} needs densities [N, 1, H, W]; got {list(logits.shape)}. Use data.out_channels=1 and task=density."
        )
    size = logits.shape[2:]
    if target.shape != (len(logits), TARGETS, *size):
        raise ValueError(
            f"{name} needs a target [N, {TARGETS}, H, W] in H and W of the densities; got target {list(target.shape)} "
            f"for densities {list(logits.shape)}. Use data=ocean_density, or a loss of classes: task=binary."
        )
    for word, extra in (("weight", weight), ("valid", valid)):
        if extra is not None and extra.shape != logits.shape:
            raise ValueError(
                f"{name} needs {word} in the shape of the densities, [N, 1, H, W]; got {word} {list(extra.shape)} "
                f"for densities {list(logits.shape)}. Crop or pad it like the target."
            )
