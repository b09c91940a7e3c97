"""Scores of the densities of single samples: the rules, cell by cell, of the scores in density.py.

Each sum over cells adds halves to one another, so that its bits depend on the sample alone: not on the other samples of
the batch, nor on the number of threads, as those of torch.sum.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.densities import CURRENT, EAST, MEAN, NEXT, NORTH, TARGETS

SCORES = ("rmse", "kl", "mass_error", "iou_50", "iou_90", "distance_km")
SHARES = (50, 90)  # % of the mass that the regions hold
FLOOR = 1e-7  # probability per cell
_MILLION = 10**6  # a share is held where less than a millionth of the mass is missing: densities are float32
_PARTS = 2**40  # of a sample's largest density, of which regions are added up


def score_samples(
    density: Tensor, target: Tensor, valid: Tensor | None = None, floor: float = FLOOR
) -> tuple[Tensor, Tensor]:
    """Score each sample's density, persistence and the mean of the training part.

    Args:
        density: [N, 1, H, W], probability per cell.
        target: [N, 5, H, W].
        valid: [N, 1, H, W] bool; None: all. Values outside, NaN included, do not count.
        floor: of KL, probability per cell.

    Returns:
        [6, 3, N] float32, in the order of SCORES, of prediction, persistence, mean; NaN or infinite where the density
        is; and which of them count, [6, 3, N] bool.
    """
    fields = [density[:, 0].detach(), *(target[:, channel] for channel in (CURRENT, MEAN, NEXT, EAST, NORTH))]
    inside = torch.ones_like(density[:, 0], dtype=torch.bool) if valid is None else valid[:, 0]
    inside = inside.flatten(1)
    cells = torch.stack([field.flatten(1).float() for field in fields]).masked_fill(~inside, 0)
    densities, (truth, east, north) = cells[:3], cells[3:]
    number, mass, true_mass = inside.sum(1), add_up(densities), add_up(truth)
    rmse = (add_up((densities - truth) ** 2) / number).sqrt()
    kl = _divergence(densities, truth, true_mass, inside, floor)
    weights = torch.cat((densities, truth[None])).clamp(min=0)
    masses = add_up(weights)
    iou = _region_iou(weights, masses)
    x, y = add_up(weights * east) / masses, add_up(weights * north) / masses
    distance = ((x[:3] - x[3]) ** 2 + (y[:3] - y[3]) ** 2).sqrt()
    some = number > 0
    counts = some.expand(len(SCORES), *rmse.shape).clone()
    counts[1] &= true_mass > 0
    counts[5] &= (masses[:3] != 0) & (true_mass > 0)  # NaN is a mass that is not 0
    return torch.stack((rmse, kl, (mass - true_mass).abs(), *iou, distance)), counts


def add_up(values: Tensor) -> Tensor:
    """Add up the last dimension, [..., P] -> [...]: its halves are added to one another until one number is left."""
    while values.shape[-1] > 1:
        if values.shape[-1] % 2:
            values = F.pad(values, (0, 1))
        half = values.shape[-1] // 2
        values = values[..., :half] + values[..., half:]
    return values[..., 0]


def _divergence(densities: Tensor, truth: Tensor, true_mass: Tensor, inside: Tensor, floor: float) -> Tensor:
    """Return the KL of densities [S, N, P] from the truth [N, P], [S, N]."""
    floored = densities.clamp(min=floor)
    mass = add_up(floored.masked_fill(~inside, 0))
    share = truth / true_mass[:, None]
    ratio = share * mass[..., None] / floored
    # The logarithm of the ratio, not of its parts: one pass. Where there is no truth there is no term.
    return add_up(share * ratio.masked_fill(truth == 0, 1).log())


def _region_iou(weights: Tensor, masses: Tensor) -> list[Tensor]:
    """Return the IoU of the regions of each of SHARES: of weights [S + 1, N, P], the truth's last, [S, N] each."""
    found = []
    for threshold in region_thresholds(weights):
        region = weights >= threshold[..., None]
        hits, either = ((region[:-1] & region[-1]), (region[:-1] | region[-1]))
        # In int32, see _count() of the binary scores.
        hits, either = hits.sum(-1, dtype=torch.int32), either.sum(-1, dtype=torch.int32)
        iou = torch.where(either == 0, 1.0, hits / either.clamp(min=1))
        found.append(torch.where(masses[:-1].isfinite(), iou, torch.nan))
    return found


def region_thresholds(weights: Tensor) -> list[Tensor]:
    """Return the largest value above or at which each of SHARES of the mass lies; infinite where there is none.

    Args:
        weights: [..., P], at least 0.

    Returns:
        [...] for each share.
    """
    ordered = _ascending(weights).flip(-1)
    largest = ordered[..., :1]
    # Whole numbers: what a float has lost at a tie would take a whole level set out of the region, or into it.
    held = (ordered * (_PARTS / torch.where(largest > 0, largest, 1.0))).long().cumsum(-1)
    whole = held[..., -1:]
    found = []
    for share in SHARES:
        needed = whole // _MILLION * (share * _MILLION // 100 - 1)
        place = (held < needed).sum(-1, dtype=torch.int32).long().clamp(max=weights.shape[-1] - 1)
        value = ordered.gather(-1, place[..., None])[..., 0]
        found.append(torch.where(largest[..., 0] > 0, value, torch.inf))
    return found


def _ascending(values: Tensor) -> Tensor:
    """Sort the last dimension: on a processor NumPy takes a thirtieth of torch's time (docs/measurements.md)."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy(), axis=-1))
    return values.sort(dim=-1).values


def check_shapes(name: str, density: Tensor, target: Tensor, valid: Tensor | None) -> None:
    """Refuse shapes that broadcasting would accept and count wrongly.

    Raises:
        ValueError: if they do not fit one another.
    """
    if density.ndim != 4 or density.shape[1] != 1 or target.shape != (len(density), TARGETS, *density.shape[2:]):
        raise ValueError(
            f"{name} needs densities [N, 1, H, W] and a target [N, {TARGETS}, H, W] of the same H and W; got densities "
            f"{list(density.shape)} and target {list(target.shape)}. Use data=ocean_density, or metrics=binary for "
            "classes."
        )
    if valid is not None and valid.shape != density.shape:
        raise ValueError(
            f"{name} needs valid in the shape of the densities, [N, 1, H, W]; got valid {list(valid.shape)} "
            f"for densities {list(density.shape)}. Crop or pad it like the target."
        )
