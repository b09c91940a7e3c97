"""Pixels of a batch are moved: image, target, valid and weight of a sample together, by flips, turns and one warp.

NaN of an image spreads to the pixels beside it in a warp, as in any network: a data module fills them before.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segfield.augment.draws import Floats
from segfield.spatial import warp, warp_grid

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
MOVED = ("image", "target", "valid", "weight")


def flip(batch: dict[str, Any], horizontal: Mask, vertical: Mask) -> None:
    """Mirror the chosen samples, horizontal and vertical [N], of the entries of a batch, which are replaced."""
    for key in MOVED:
        if batch.get(key) is not None:
            batch[key] = _flip(_flip(batch[key], horizontal, dim=-1), vertical, dim=-2)


def turn(batch: dict[str, Any], turns: Counts) -> None:
    """Give samples [N] so many quarter turns, as torch.rot90; the entries of a batch are replaced."""
    for number in (1, 2, 3):
        chosen = turns == number
        for key in MOVED:
            if batch.get(key) is not None and chosen.any():
                on_device = torch.tensor(chosen).to(batch[key].device, non_blocking=True)
                shape = (-1, *[1] * (batch[key].ndim - 1))
                batch[key] = torch.where(on_device.view(shape), batch[key].rot90(number, (-2, -1)), batch[key])


def _flip(values: Tensor, chosen: Mask, dim: int) -> Tensor:
    """Mirror the chosen samples of values [N, ..., H, W]; chosen is [N]."""
    assert len(values) == len(chosen), f"{len(values)} samples, {len(chosen)} indices"
    if not chosen.any():
        return values
    on_device = torch.tensor(chosen).to(values.device, non_blocking=True)
    return torch.where(on_device.view(-1, *[1] * (values.ndim - 1)), values.flip(dim), values)


def deform(batch: dict[str, Any], moved: Mask, sources: Floats, displacements: Floats | None) -> None:
    """Warp the chosen samples of the entries of a batch, which are replaced; the others keep their bits.

    Floating-point entries are bilinear, the others (class indices, valid) take the nearest pixel. Beyond the border a
    sample goes on as its own reflection.

    Args:
        batch: of N samples.
        moved: [N], which are warped.
        sources: [N, 2, 3], where a pixel comes from, as Affine gives it.
        displacements: [N, 2, P, P], added to the source, as Elastic gives them.
    """
    names = [key for key in MOVED if batch.get(key) is not None]
    if not moved.any() or not names:
        return
    assert all(len(batch[key]) == len(moved) for key in names), f"{len(moved)} indices"
    height, width = batch[names[0]].shape[-2:]
    device = batch[names[0]].device
    rows, matrix, points = (
        None if values is None else torch.from_numpy(values).to(device, non_blocking=True)
        for values in (np.flatnonzero(moved), _chosen(sources, moved), _chosen(displacements, moved))
    )
    assert rows is not None
    assert matrix is not None
    grid = warp_grid(matrix, points, (height, width))
    smooth = [key for key in names if batch[key].is_floating_point()]
    assert "image" not in names or "image" in smooth, "an image is float before it is warped"
    if smooth:
        _replace(batch, smooth, "bilinear", grid, rows)
    if exact := [key for key in names if key not in smooth]:
        _replace(batch, exact, "nearest", grid, rows)


def _chosen(values: Floats | None, moved: Mask) -> npt.NDArray[np.float32] | None:
    return None if values is None else values[moved].astype(np.float32)


def _replace(
    batch: dict[str, Any], keys: list[str], mode: Literal["bilinear", "nearest"], grid: Tensor, rows: Tensor
) -> None:
    """Warp the rows of the entries, stacked: a position's neighbours and weights are then computed once for all."""
    everyone = len(rows) == len(batch[keys[0]])
    chosen = [batch[key] if everyone else batch[key].index_select(0, rows) for key in keys]
    flat = [values.reshape(len(rows), -1, *values.shape[-2:]).float() for values in chosen]
    moved = warp(torch.cat(flat, dim=1) if len(flat) > 1 else flat[0], grid, mode)
    parts = torch.split(moved, [values.shape[1] for values in flat], dim=1)
    for key, old, new in zip(keys, chosen, parts, strict=True):
        values = new.reshape(old.shape).to(old.dtype)
        batch[key] = values if everyone else batch[key].index_copy(0, rows, values)
