"""Maps of densities for the tests, and the rules of their scores written down slowly in NumPy."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segfield.densities import CURRENT, EAST, MEAN, NEXT, NORTH, TARGETS

FLOOR, KM = 1e-4, (2.0, 3.0)  # of KL; width and height of a cell
Sample = dict[str, Any]


def blob(x: float, y: float, spread: float, size: tuple[int, int] = (20, 24)) -> Tensor:
    """Return a bell [H, W] of mass 1 around column x and row y."""
    rows, columns = torch.meshgrid(*(torch.arange(side).float() for side in size), indexing="ij")
    bell = torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2))
    return bell / bell.sum()


def target_of(truth: Tensor, current: Tensor, mean: Tensor) -> Tensor:
    """Return a target [N, 5, H, W] of densities [N, H, W]."""
    rows, columns = torch.meshgrid(*(torch.arange(side).float() for side in truth.shape[1:]), indexing="ij")
    target = torch.zeros(len(truth), TARGETS, *truth.shape[1:])
    target[:, NEXT], target[:, CURRENT], target[:, MEAN] = truth, current, mean
    target[:, EAST], target[:, NORTH] = columns * KM[0], rows * KM[1]
    return target


def some_samples(samples: int = 11) -> tuple[Tensor, Tensor, Tensor, list[str]]:
    """Return densities, target, valid and groups: counts of 200 particles, predictions with values below 0.

    One sample has no valid cell, one no mass in its truth, one none in its prediction.
    """
    rng = torch.Generator().manual_seed(4)

    def counted(x: float, y: float) -> Tensor:
        cells = torch.multinomial(blob(x, y, 2.5).flatten(), 200, replacement=True, generator=rng)
        return torch.bincount(cells, minlength=480).view(20, 24) / 200

    truth = torch.stack([counted(6 + i, 9) for i in range(samples)])
    current = torch.stack([counted(5 + i, 8) for i in range(samples)])
    predicted = torch.stack([blob(6.5 + i, 9, 3.0) for i in range(samples)])
    predicted = predicted * 0.9 + torch.randn(predicted.shape, generator=rng) * 1e-4
    valid = torch.rand(samples, 1, 20, 24, generator=rng) > 0.2
    valid[1], truth[2], predicted[3] = False, 0, -0.001
    target = target_of(truth, current, blob(12, 9, 6).expand_as(truth))
    return predicted[:, None], target, valid, [str(i) for i in range(samples)]


def region_of(density: np.ndarray, percent: int) -> np.ndarray:
    """Return the cells of the smallest region that holds a share; one value after the other, from the largest."""
    density = np.maximum(density.astype(np.float64), 0)
    for threshold in sorted({float(value) for value in density if value > 0}, reverse=True):
        if math.fsum(density[density >= threshold]) >= (percent / 100 - 1e-6) * math.fsum(density):
            return np.asarray(density >= threshold)
    return np.zeros(len(density), dtype=bool)


def scores_of(density: np.ndarray, truth: np.ndarray, east: np.ndarray, north: np.ndarray) -> dict[str, float]:
    """Return the scores of one sample from its valid cells, [P] each; those that do not count are left out."""
    if not len(density):
        return {}
    density, truth = density.astype(np.float64), truth.astype(np.float64)
    found = {"rmse": math.sqrt(((density - truth) ** 2).mean()), "mass_error": abs(density.sum() - truth.sum())}
    for percent in (50, 90):
        one, other = region_of(density, percent), region_of(truth, percent)
        found[f"iou_{percent}"] = (one & other).sum() / (one | other).sum() if (one | other).any() else 1.0
    floored = np.maximum(density, FLOOR) / np.maximum(density, FLOOR).sum()
    if truth.sum() > 0:
        share = truth / truth.sum()
        found["kl"] = sum(t * math.log(t / q) for t, q in zip(share, floored, strict=True) if t > 0)
    weights = [np.maximum(one, 0) for one in (density, truth)]
    if all(one.sum() > 0 for one in weights):
        places = [((one * east).sum() / one.sum(), (one * north).sum() / one.sum()) for one in weights]
        found["distance_km"] = math.dist(*places)
    return found
