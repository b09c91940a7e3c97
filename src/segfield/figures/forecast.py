"""A forecast drawn: one density by time, on the cells of a region in degrees. Arrays in, uint8 images out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segfield.figures import Mask, Pixels
from segfield.figures.canvas import LINE, Box, Values, amounts, canvas, outline
from segfield.figures.density import UNIT, region_of, window

_TILE, _GAP, _EDGE = 170, 6, 4  # rows of a map, pixels; between maps; at the frame
_LEFT, _BELOW, _RIGHT = 40, 12, 60  # for the numbers of the latitudes, those of the longitudes, the colour bar
_NARROWEST = 70  # pixels of a map
_SHARES = (0.5, 0.9)
_HALVES = "outlined: the smallest regions that hold half of the mass (solid) and 90 % (dotted); +: the point"


def forecast_strip(
    densities: npt.ArrayLike,
    titles: Sequence[str],
    *,
    valid: Mask,
    latitude: npt.NDArray[np.float64],
    longitude: npt.NDArray[np.float64],
    point: tuple[float, float],
    title: str = "",
    columns: int = 4,
) -> Pixels:
    """Draw a density by time, in rows of small maps that share one colour scale.

    Args:
        densities: [T, H, W], probability per cell.
        titles: of the T maps.
        valid: [H, W] bool; the rest is grey.
        latitude: [H] of the cells' centres, evenly spaced.
        longitude: [W], likewise.
        point: latitude and longitude that are marked.
        title: above all.
        columns: the most maps in a row; there are two rows at most, evenly spaced in time. The first map and the last
            are among them; the region shown is that of what is outlined.

    Returns:
        [h, w, 3].

    Raises:
        ValueError: if the shapes do not fit one another.
    """
    maps = np.asarray(densities, dtype=np.float64)
    _check_shapes(maps, titles, valid)
    maps = np.where(valid, 100 * maps, np.nan)
    chosen = _chosen(len(maps), 2 * columns)
    down = 1 if len(chosen) <= columns else 2
    across = math.ceil(len(chosen) / down)
    extent = _extent(latitude, longitude)
    regions = [np.where(region_of(one, valid, _SHARES[-1]), one, 0) for one in maps[chosen]]
    near = window(regions, maps[-1], valid, extent)
    wide = _width(near)
    top, high = 2 * LINE + _EDGE, _TILE + LINE + _GAP
    right = _LEFT + across * (wide + _GAP)
    with canvas(right + _RIGHT, top + down * high + _BELOW + LINE) as drawing:
        drawing.text(_EDGE, _EDGE, title, weight="bold")
        drawing.text(_EDGE, top + down * high + _BELOW, _HALVES, color="dimgrey")
        scale = amounts(maps)
        for place, time in enumerate(chosen):
            row, column = divmod(place, across)
            box = Box(_LEFT + column * (wide + _GAP), top + row * high, wide, _TILE)
            axes = drawing.map(box, maps[time], valid, scale, extent)
            axes.set_title(titles[time], pad=3, fontsize="medium")
            axes.set(xlim=near[:2], ylim=near[2:])
            _regions(axes, maps[time], valid, extent)
            axes.plot(point[1], point[0], "+", color="white", markersize=6, markeredgewidth=1)
            _numbers(axes, first=column == 0, last=place + across >= len(chosen))
        drawing.bar(Box(right + 2, top, 8, down * high - LINE - _GAP), scale, UNIT, maps)
        return drawing.pixels()


def _chosen(number: int, most: int) -> npt.NDArray[np.int64]:
    """Return evenly spaced times, at most so many: the last of all is among them, the first takes the place of one."""
    chosen = np.arange(number - 1, -1, -math.ceil(number / most))[::-1].copy()
    if len(chosen) > 1:
        chosen[0] = 0
    return chosen


def _width(edges: tuple[float, ...]) -> int:
    """Return the columns of a map between edges in degrees: a kilometre is as long to the east as to the north."""
    west, east, south, north = edges
    narrow = np.cos(np.deg2rad((south + north) / 2))
    return max(_NARROWEST, round(float(_TILE * narrow * (east - west) / (north - south))))


def _extent(latitude: Values, longitude: Values) -> tuple[float, float, float, float]:
    """Return the outer edges of the cells: west, east, south, north."""
    rows, columns = ((axis[-1] - axis[0]) / max(len(axis) - 1, 1) / 2 for axis in (latitude, longitude))
    return longitude[0] - columns, longitude[-1] + columns, latitude[0] - rows, latitude[-1] + rows


def _check_shapes(maps: Values, titles: Sequence[str], valid: Mask) -> None:
    if maps.ndim != 3 or maps.shape[1:] != valid.shape or len(titles) != len(maps) or not len(maps):
        raise ValueError(
            f"forecast_strip needs densities [T, H, W], T titles and valid [H, W]; got densities {list(maps.shape)}, "
            f"{len(titles)} titles, valid {list(valid.shape)}. Stack the times."
        )


def _regions(axes: Any, density: Values, valid: Mask, extent: tuple[float, ...]) -> None:
    for share, style in zip(_SHARES, ("solid", "dotted"), strict=True):
        outline(axes, region_of(density, valid, share), extent, "white", style)


def _numbers(axes: Any, *, first: bool, last: bool) -> None:
    """Write degrees at the maps of the first column, and at those with none below."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for axis, shown, number in ((axes.xaxis, last, 3), (axes.yaxis, first, 4)):
        axis.set_major_locator(MaxNLocator(number))
        axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:.4g}"))
        axis.set_tick_params(labelbottom=shown, labelleft=shown)
