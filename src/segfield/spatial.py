"""Arithmetic on the last two axes of [..., H, W]: centred crops, mirrored borders, warps, sides a valid U-Net accepts.

Everything is centred: where a difference is odd, the smaller half lies at the top and at the left, in crops and in
extensions alike, so `centre_crop(mirror_extend(x, larger), size of x)` is x. torch only.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def centre_crop(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut the centre out of [..., H, W]; a view, no copy.

    Args:
        x: [..., H, W].
        size: (h, w), at most (H, W).
    """
    height, width = x.shape[-2:]
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    assert min(top, left) >= 0, f"cannot crop {height}x{width} to {size[0]}x{size[1]}"
    return x[..., top : top + size[0], left : left + size[1]]


def inside(values: Tensor, valid: Tensor | None) -> Tensor:
    """Return values with 0 where they are not valid; filled, not multiplied: 0 * NaN is NaN.

    Args:
        values: [..., H, W].
        valid: bool, broadcast to the values; None: all.
    """
    return values if valid is None else values.masked_fill(~valid, 0)


def mirror_extend(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Extend [..., H, W] on all four sides by reflection, repeated where the border is wider than the image.

    The edge pixel is not doubled (numpy.pad's "reflect"): 0 1 2 becomes ... 1 2 1 0 1 2 1 0 1 ...; a side of one pixel
    is repeated. Any dtype, since nothing but indices is computed.

    Args:
        x: [..., H, W], not empty.
        size: (h, w), at least (H, W). x lies in the centre.
    """
    for dim, side in ((-2, size[0]), (-1, size[1])):
        if x.shape[dim] != side:
            x = x.index_select(dim, _mirror_index(x.shape[dim], side, x.device))
    return x


def _mirror_index(inner: int, outer: int, device: torch.device) -> Tensor:
    assert 0 < inner <= outer, f"cannot extend a side of {inner} to {outer}"
    period = max(2 * (inner - 1), 1)
    position = (torch.arange(outer, device=device) - (outer - inner) // 2).remainder(period)
    return torch.minimum(position, period - position)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Mirror [..., H, W] outwards to the next sides divisible by `multiple`; centre_crop takes the border off again."""
    height, width = x.shape[-2:]
    return mirror_extend(x, (height + -height % multiple, width + -width % multiple))


def to_own_size(values: Tensor, working: tuple[int, int], own: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Bring values from the working size to that of the image itself: bilinear, antialiased where it shrinks.

    Args:
        values: [K, h, w] float, the centre of an image at the working size.
        working: (H, W) of that image, at least (h, w).
        own: (rows, columns) of the image itself.

    Returns:
        [K, rows, columns]; and which of its pixels have their centre in the region of the values, [rows, columns] bool.
        Outside it the nearest value is repeated.
    """
    height, width = values.shape[-2:]
    top, left = (working[0] - height) // 2, (working[1] - width) // 2
    border = (left, working[1] - width - left, top, working[0] - height - top)
    whole = F.pad(values[None], border, mode="replicate") if any(border) else values[None]
    if working != own:
        shrinks = own[0] < working[0] or own[1] < working[1]
        whole = F.interpolate(whole, own, mode="bilinear", align_corners=False, antialias=shrinks)
    rows, columns = (
        _within(*sides, device=values.device)
        for sides in ((top, height, working[0], own[0]), (left, width, working[1], own[1]))
    )
    return whole[0], rows[:, None] & columns


def _within(first: int, inner: int, outer: int, own: int, device: torch.device) -> Tensor:
    """Tell which of `own` pixels lie, scaled to `outer` pixels, in `inner` ones from `first` on: [own] bool."""
    twice = (2 * torch.arange(own, device=device) + 1) * outer  # of the centre, in whole numbers
    return (twice >= 2 * own * first) & (twice < 2 * own * (first + inner))


def valid_output_side(side: int, depth: int) -> int:
    """Side of the output of an unpadded U-Net with `depth` poolings: at depth 4, side - 184.

    Each level loses 4 pixels on the way down and 4 on the way up, and twice what the level below loses:
    12 * 2**depth - 8 in all. It is even, so input and output share their centre. Zero or less: the side is too small.
    Reference: Ronneberger et al. 2015, Fig. 1, arXiv 1505.04597.
    """
    step: int = 2**depth
    return side - (12 * step - 8)


def nearest_valid_sides(side: int, depth: int) -> tuple[int | None, int]:
    """Largest valid input side <= `side` (None: there is none) and smallest >= `side`; both are `side` if it is valid.

    Valid sides have no odd side at any of the `depth` poolings and leave an output: 2**depth * k - 4, at depth 4
    16k + 12 from 188 on.
    """
    step: int = 2**depth
    below = side - (side + 4) % step
    least = max(side, 1 - valid_output_side(0, depth))  # output of one pixel or more
    return (below if valid_output_side(below, depth) > 0 else None), least + (-least - 4) % step


def valid_input_side(output: int, depth: int) -> int:
    """Smallest valid input side whose output is at least `output` wide."""
    return nearest_valid_sides(output - valid_output_side(0, depth), depth)[1]


def warp(x: Tensor, grid: Tensor, mode: Literal["bilinear", "nearest"]) -> Tensor:
    """Move pixels; beyond its border a picture goes on as its own reflection.

    Args:
        x: [N, C, H, W] float32.
        grid: [N, H, W, 2], of warp_grid().
        mode: "nearest" gives values of x alone.
    """
    return F.grid_sample(x, grid, mode=mode, padding_mode="reflection", align_corners=False)


def warp_grid(matrix: Tensor, displacement: Tensor | None, size: tuple[int, int]) -> Tensor:
    """Say where each pixel of a warped picture comes from: an affine map plus a smooth displacement.

    Positions are (column, row) in pixels from the centre of the picture. Sums of products, each rounded by itself: a
    sample has the same bits in any batch.

    Args:
        matrix: [N, 2, 3] float32; source = matrix @ (column, row, 1).
        displacement: [N, 2, P, P] float32, of P x P points, the outermost at the centres of the corner pixels; it is
            added to the source, bicubic between the points.
        size: (H, W).

    Returns:
        [N, H, W, 2], not contiguous: (-1, -1) and (1, 1) are the outer corners of the corner pixels.
    """
    height, width = size
    # From pixels to halves of the side.
    unit = matrix.new_tensor([2 / width, 2 / height]).view(2, 1)
    rows, columns = (torch.arange(side, device=matrix.device) - (side - 1) / 2 for side in size)
    across, down, shift = ((matrix[:, :, i] * unit.T).unsqueeze(-1) for i in range(3))
    source = (across * columns + shift).unsqueeze(-2) + (down * rows).unsqueeze(-1)
    if displacement is not None:
        points = displacement.shape[-1]
        by_row, by_column = (_bicubic(side, points).to(matrix.device) for side in size)
        scaled = displacement * unit.unsqueeze(-1)
        # Both directions one after the other: 15 times as fast as F.interpolate, which takes 16 points for each pixel.
        between = scaled.new_zeros(*scaled.shape[:-1], width)
        for p in range(points):
            between += scaled[..., p, None] * by_column[p]
        for p in range(points):
            source += between[..., p, None, :] * by_row[p, :, None]
    return source.permute(0, 2, 3, 1)


def _bicubic(side: int, points: int) -> Tensor:
    """Return the weights [points, side] of points along a side, the outermost at its first and last pixel.

    Keys' kernel with a = -0.75; beyond the outermost points they are repeated. As F.interpolate with align_corners.
    """
    at = torch.arange(side, dtype=torch.float64) * ((points - 1) / max(side - 1, 1))
    first = at.floor()
    weights = torch.zeros(points, side, dtype=torch.float64)
    for tap in range(-1, 3):
        distance = (first + tap - at).abs()
        near = (1.25 * distance - 2.25) * distance**2 + 1
        far = -0.75 * (((distance - 5) * distance + 8) * distance - 4)
        index = (first + tap).clamp(0, points - 1).long()
        weights.scatter_add_(0, index.unsqueeze(0), torch.where(distance <= 1, near, far).unsqueeze(0))
    return weights.float()
