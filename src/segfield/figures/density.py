"""Maps of a drift density beside what it was predicted from: arrays in, uint8 images out.

Densities are probabilities per cell and shown as per cent; the north is up, axes are in km. Drawing is canvas.py's.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segfield.figures import Mask, Pixels
from segfield.figures.canvas import LINE, Box, Canvas, Scale, Values, amounts, between, canvas, frame, outline, signed

UNIT = "% per cell"
_LEFT, _BOTTOM = 40, 30  # pixels for the numbers and names of the axes
_GAP, _BAR, _NUMBERS = 8, 8, 50  # between maps; a colour bar, and its numbers and unit
_NARROWEST = 70  # pixels of a map, for its title
LEAST = 120  # pixels of a picture
_SHARE = 0.5  # of the mass, in the regions that are outlined
_HALVES = "outlined: half of the mass (solid: truth, dotted: prediction)"
_MARGIN, _CLOSEST = 3, 16  # cells around a density; of the longer side that is shown, at least


class Input(NamedTuple):
    """A map that the network saw: its name, [H, W] values, their unit, and whether they have a sign (a velocity)."""

    title: str
    values: npt.ArrayLike
    unit: str = ""
    signed: bool = False


class _Map(NamedTuple):
    title: str
    values: Values
    scale: Scale
    unit: str
    near: tuple[float, ...]  # edges of what is shown, or framed
    regions: tuple[tuple[Mask, str, str], ...] = ()
    framed: bool = False
    rows: bool = False  # its vertical axis has numbers
    bar: Values | None = None  # a colour bar stands beside it, for these values


def density_panel(
    inputs: Sequence[Input],
    current: npt.ArrayLike,
    truth: npt.ArrayLike,
    prediction: npt.ArrayLike,
    *,
    valid: npt.ArrayLike | None = None,
    east: npt.ArrayLike | None = None,
    north: npt.ArrayLike | None = None,
    title: str = "",
    height: int = 256,
) -> Pixels:
    """Draw a row of maps: the inputs, the density that they came with, truth, prediction, and prediction - truth.

    The densities are shown where they are, which is framed on the inputs. Three of them share one scale, from 0 to the
    largest of current and truth; an arrow at its bar says that the prediction goes beyond. The smallest regions that
    hold half of the mass are outlined.

    Args:
        inputs: each on a scale of its own, white at 0 where it has a sign.
        current: [H, W], probability per cell.
        truth: the same, a step later.
        prediction: of the truth.
        valid: [H, W] bool; None: all. The rest is grey.
        east: [H, W] of the cells' centres, km; None: the numbers of the columns.
        north: the same to the north; None: the numbers of the rows.
        title: above all.
        height: rows of the picture, at least 120.

    Returns:
        [height, w, 3]; w follows from the number of maps and from the region's shape.

    Raises:
        ValueError: if shapes do not fit one another, or height is below 120.
    """
    if height < LEAST:
        raise ValueError(f"density_panel needs a height of at least {LEAST} pixels; got {height}. Use height=256.")
    arrays = {"current": current, "truth": truth, "prediction": prediction}
    arrays |= {f"input {one.title}": one.values for one in inputs}
    now, true, predicted, *seen = same_shape(arrays)
    inside = np.ones(true.shape, dtype=np.bool_) if valid is None else np.asarray(valid, dtype=np.bool_)
    extent, names = extent_of(true.shape, east, north)
    near = window((now, true), predicted, inside, extent)
    maps = [_input(one, values, inside, near) for one, values in zip(inputs, seen, strict=True)]
    maps += _densities(now, true, predicted, inside, near)

    top = 2 * LINE + 2
    tall = height - top - _BOTTOM
    wide = max(_NARROWEST, round(tall * (extent[1] - extent[0]) / (extent[3] - extent[2])))
    ahead = [_LEFT if one.rows else _GAP for one in maps]
    behind = [wide + (_BAR + _NUMBERS if one.bar is not None else 0) for one in maps]
    with canvas(sum(ahead) + sum(behind), height) as drawing:
        drawing.text(_LEFT, 2, title, weight="bold")
        drawing.text(sum(ahead) + sum(behind) - 4, 2, _HALVES, ha="right", color="dimgrey")
        for place, one in enumerate(maps):
            left = sum(ahead[: place + 1]) + sum(behind[:place])
            _draw(drawing, Box(left, top, wide, tall), one, inside, extent, names)
        return drawing.pixels()


def same_shape(arrays: dict[str, npt.ArrayLike]) -> list[Values]:
    """Return maps as float64 arrays.

    Raises:
        ValueError: if one is no [H, W], or they differ in shape.
    """
    found: list[Values] = [np.asarray(values, dtype=np.float64) for values in arrays.values()]
    for name, values in zip(arrays, found, strict=True):
        if values.ndim != 2 or values.shape != found[0].shape:
            raise ValueError(
                f"Maps are drawn of arrays [H, W] of the same region; got {name} {list(values.shape)} beside "
                f"{next(iter(arrays))} {list(found[0].shape)}. Crop all of them to the output of the network."
            )
    return found


def extent_of(
    shape: tuple[int, ...], east: npt.ArrayLike | None, north: npt.ArrayLike | None
) -> tuple[tuple[float, float, float, float], tuple[str, str]]:
    """Return the outer edges of a region of cells, west, east, south, north, and the names of the axes."""
    edges: list[float] = []
    for side, given, axis in ((shape[1], east, 0), (shape[0], north, 1)):
        centres = np.arange(side, dtype=np.float64) if given is None else np.asarray(given, np.float64).mean(axis)
        half = (centres[-1] - centres[0]) / max(side - 1, 1) / 2 or 0.5
        edges += [float(centres[0] - half), float(centres[-1] + half)]
    names = ("column", "row") if east is None or north is None else ("east [km]", "north [km]")
    return (edges[0], edges[1], edges[2], edges[3]), names


def region_of(density: Values, valid: Mask, share: float = _SHARE) -> Mask:
    """Return the smallest region that holds a share of the mass, [H, W] bool; of no mass it is empty.

    Cells of equal density are in it together: metrics/density.py scores the same region.
    """
    mass = np.where(valid & np.isfinite(density), np.maximum(density, 0), 0)
    ordered = -np.sort(-mass, axis=None)
    held = np.cumsum(ordered)
    if not held[-1] > 0:
        return np.zeros(mass.shape, dtype=np.bool_)
    region: Mask = mass >= ordered[np.searchsorted(held, share * held[-1] * (1 - 1e-6))]
    return region


def window(
    densities: Sequence[Values], prediction: Values, inside: Mask, extent: tuple[float, ...]
) -> tuple[float, float, float, float]:
    """Return the edges of what is shown of densities: west, east, south, north, in the proportions of the region.

    It holds 99.9 % of the mass of each of them, and half of that of the prediction, which may be anywhere.
    """
    regions = [region_of(one, inside, 0.999) for one in densities] + [region_of(prediction, inside)]
    where = np.argwhere(np.logical_or.reduce(regions))
    sides = np.array(inside.shape)
    if not len(where):
        return (extent[0], extent[1], extent[2], extent[3])
    low, high = where.min(0) - _MARGIN, where.max(0) + 1 + _MARGIN
    share = min(1.0, max(float(((high - low) / sides).max()), _CLOSEST / float(sides.max())))
    size = share * sides
    first = np.clip((low + high - size) / 2, 0, sides - size)
    cell = np.array([(extent[3] - extent[2]), (extent[1] - extent[0])]) / sides
    south, west = np.array([extent[2], extent[0]]) + first * cell
    north, east = np.array([south, west]) + size * cell
    return float(west), float(east), float(south), float(north)


def _input(one: Input, values: Values, inside: Mask, near: tuple[float, ...]) -> _Map:
    seen = np.where(inside, values, np.nan)
    scale = signed(seen) if one.signed else between(seen)
    return _Map(one.title, values, scale, one.unit, near, framed=True, rows=True, bar=seen)


def _densities(now: Values, true: Values, predicted: Values, inside: Mask, near: tuple[float, ...]) -> list[_Map]:
    now, true, predicted = (np.where(inside, 100 * values, np.nan) for values in (now, true, predicted))
    shared = amounts(np.stack([now, true]))
    of_truth, of_prediction = (region_of(values, inside) for values in (true, predicted))
    difference = predicted - true
    both = ((of_truth, "black", "solid"), (of_prediction, "black", "dotted"))
    every = np.stack([now, true, predicted])
    return [
        _Map("current", now, shared, UNIT, near, rows=True),
        _Map("truth", true, shared, UNIT, near, ((of_truth, "white", "solid"),)),
        _Map("prediction", predicted, shared, UNIT, near, ((of_prediction, "white", "dotted"),), bar=every),
        _Map("prediction - truth", difference, signed(difference), UNIT, near, both, bar=difference),
    ]


def _draw(drawing: Canvas, box: Box, one: _Map, inside: Mask, extent: Any, names: tuple[str, str]) -> None:
    """Draw a map and, if it has one, the bar beside it."""
    from matplotlib.ticker import MaxNLocator

    axes = drawing.map(box, one.values, inside, one.scale, extent)
    axes.set_title(one.title, pad=3, fontsize="medium")
    axes.set_xlabel(names[0], labelpad=1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    for region, colour, style in one.regions:
        outline(axes, region, extent, colour, style)
    if one.framed:
        frame(axes, one.near)
    else:
        axes.set(xlim=one.near[:2], ylim=one.near[2:])
    if one.rows:
        axes.set_ylabel(names[1], labelpad=1)
    else:
        axes.set_yticklabels([])
    if one.bar is not None:
        drawing.bar(Box(box.left + box.width + 4, box.top, _BAR, box.height), one.scale, one.unit, one.bar)
