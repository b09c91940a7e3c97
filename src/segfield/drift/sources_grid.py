"""Grids: where a variable's latitudes and longitudes are, and which of its cells an area needs.

Latitudes come out ascending, longitudes ascending and continuous in the convention of the area, so that an area may
cross Greenwich or the date line whatever the file counts from.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from segfield.drift.sources_open import numbers

if TYPE_CHECKING:
    import xarray as xr

Area = tuple[float, float, float, float]  # south, north, west, east
Degrees = npt.NDArray[np.float64]
# Units, standard name and names, and a name that means degrees only where nothing else does.
_LATITUDE = (r"degrees?_?n(orth)?$", "latitude", r"(nav_)?lat(itude)?(_\w+)?$|gphi\w$", "y")
_LONGITUDE = (r"degrees?_?e(ast)?$", "longitude", r"(nav_)?lon(gitude)?(_\w+)?$|glam\w$", "x")
_PLANE = ("m", "km", "metre", "meter", "metres", "meters")
_LEVELS = r"(dept|lev|z|s_rho|s_w|sigma|elevation|height|layer|k$|nav_lev|olevel)"
_FOLLOWING = r"(s_rho|s_w|sigma)"  # levels that follow the ground
_REGRID = "Regrid it first, for example by cdo remapbil,r1440x720 {file} new.nc"


@dataclass(frozen=True)
class Axes:
    """The two dimensions of a map and their degrees, as the file has them."""

    rows: str
    columns: str
    latitude: Degrees
    longitude: Degrees


@dataclass(frozen=True)
class Cut:
    """Which rows and columns an area needs, in the order of ascending degrees; their degrees."""

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    latitude: Degrees
    longitude: Degrees


def axes_of(dataset: "xr.Dataset", name: str, file: str) -> Axes:
    """Find the latitudes and longitudes of a variable, 1-D, or 2-D of a regular grid.

    Raises:
        ValueError: if there are none, if they are not monotonic, or the grid is curvilinear.
    """
    latitude, longitude = (_coordinate(dataset, name, kind) for kind in (_LATITUDE, _LONGITUDE))
    if latitude is None or longitude is None:
        lacks = "latitude" if latitude is None else "longitude"
        raise ValueError(
            f"{file}: {name} has no {lacks} in degrees (expected a variable latitude, lat or nav_lat, found "
            f"{', '.join(map(str, dataset.variables))}). " + _REGRID.format(file=file)
        )
    here, there = dataset.variables[latitude], dataset.variables[longitude]
    if here.ndim == 1 and there.ndim == 1:
        axes = Axes(str(here.dims[0]), str(there.dims[0]), numbers(here), numbers(there))
    else:
        axes = _reduced(here, there, name, file)
    for word, values in (("latitude", axes.latitude), ("longitude", axes.longitude)):
        in_order = _monotonic(values) or (word == "longitude" and _monotonic(np.unwrap(values, period=360)))
        if not in_order or np.abs(values).max() > (90.01 if word == "latitude" else 720):
            raise ValueError(
                f"{file}: the {word}s of {name} are no degrees in order: expected two or more that ascend or descend, "
                f"found {values[0]:g} .. {values[-1]:g} ({len(values)}). " + _REGRID.format(file=file)
            )
    return axes


def _monotonic(values: Degrees) -> bool:
    steps = np.diff(values)
    return len(steps) > 0 and bool((steps > 0).all() or (steps < 0).all())


def _coordinate(dataset: "xr.Dataset", name: str, kind: tuple[str, str, str, str]) -> str | None:
    """Return the coordinate of one kind: along the variable's own dimensions, by its attribute, or any that fits."""
    variable = dataset.variables[name]
    named = str(variable.attrs.get("coordinates", "")).split()
    others = [str(other) for other, its in dataset.variables.items() if 1 <= its.ndim <= 2]
    fitting = [
        other
        for other in dict.fromkeys((*map(str, variable.dims), *named, *others))
        if other in others and other != name and set(dataset.variables[other].dims) <= set(variable.dims)
    ]

    def fits(other: str) -> bool:
        """Tell whether a variable is the axis, by units, standard name or name."""
        attributes = dataset.variables[other].attrs
        units, standard = str(attributes.get("units", "")).lower().strip(), attributes.get("standard_name")
        named_so = bool(re.match(kind[2], other.lower())) and units not in _PLANE
        return bool(re.match(kind[0], units)) or standard == kind[1] or named_so

    weak = (o for o in fitting if o.lower() == kind[3] and dataset.variables[o].attrs.get("units") not in _PLANE)
    return next(filter(fits, fitting), None) or next(weak, None)


def _reduced(latitude: "xr.Variable", longitude: "xr.Variable", name: str, file: str) -> Axes:
    """Take a row and a column of a 2-D grid that is regular."""
    dims = latitude.dims if latitude.ndim == 2 else longitude.dims
    if latitude.dims != longitude.dims:
        raise ValueError(f"{file}: {name} has latitudes and longitudes of other shapes. " + _REGRID.format(file=file))
    rows, columns = numbers(latitude), np.unwrap(numbers(longitude), period=360)
    if np.ptp(rows[:, 0]) < np.ptp(rows[0]):  # stored column by column
        rows, columns, dims = rows.T, numbers(longitude).T, dims[::-1]
        columns = np.unwrap(columns, period=360)
    one, other = rows[:, 0], columns[0]
    tolerance = 1e-2 * min(np.abs(np.diff(one)).min(initial=1.0), np.abs(np.diff(other)).min(initial=1.0))
    apart = np.abs((columns - other + 180) % 360 - 180)
    if not (np.abs(rows - one[:, None]) <= tolerance).all() or not (apart <= tolerance).all():
        raise ValueError(
            f"{file}: {name} is on a curvilinear grid (latitude {latitude.dims} changes along its rows); expected rows "
            "of one latitude and columns of one longitude. " + _REGRID.format(file=file)
        )
    return Axes(str(dims[0]), str(dims[1]), one, other)


def cut(axes: Axes, area: Area, what: str, needed: Area | None = None) -> tuple[Cut, list[str]]:
    """Choose the cells of an area and one more on each side, where there is one.

    Args:
        axes: of the variable.
        area: wanted.
        what: names the variable in errors.
        needed: what must be covered; None: all of the area.

    Returns:
        The cut, and what was turned around.

    Raises:
        ValueError: if the cells do not cover what is needed.
    """
    south, north, west, east = area
    notes = []
    rows = np.argsort(axes.latitude)
    if axes.latitude[0] > axes.latitude[-1]:
        notes.append("latitude was descending and is turned around.")
    lowest = (west + east) / 2 - 180  # the seam lies opposite the area
    shifted = lowest + (axes.longitude - lowest) % 360
    columns = np.argsort(shifted)
    if axes.longitude[0] > axes.longitude[-1] and (np.diff(np.unwrap(axes.longitude, period=360)) < 0).all():
        notes.append("longitude was descending and is turned around.")
    step = np.median(np.diff(shifted[columns]))
    columns = columns[np.diff(shifted[columns], prepend=-np.inf) > 1e-3 * step]  # 0 and 360 may both be there
    rows, columns = _within(axes.latitude, rows, south, north), _within(shifted, columns, west, east)
    everywhere = np.sort(shifted)
    hole = np.diff(shifted[columns]).max(initial=0.0)
    if min(len(rows), len(columns)) < 2 or hole > 10 * step:
        if np.diff(np.sort(axes.longitude)).max() <= 10 * step:  # the hole is the seam's, opposite the area
            everywhere, hole = axes.longitude, 0.0
        what += f", with a hole of {hole:g} degrees," * bool(hole > 10 * step)
        raise ValueError(_outside(what, axes.latitude, everywhere, needed or area))
    check_covered(what, np.sort(axes.latitude), everywhere, needed or area)
    if np.abs(shifted - axes.longitude)[columns].max() > 1e-6:
        notes.append(f"longitudes are counted as the area's {west:g}..{east:g}.")
    return Cut(rows, columns, axes.latitude[rows], shifted[columns]), notes


def _within(values: Degrees, order: npt.NDArray[np.int64], low: float, high: float) -> npt.NDArray[np.int64]:
    inside = np.flatnonzero((values[order] >= low) & (values[order] <= high))
    if not len(inside):  # between two cells, or beside them all
        at = int(np.searchsorted(values[order], low))
        return order[max(at - 1, 0) : at + 1] if 0 < at < len(order) else order[:0]
    return order[max(inside[0] - 1, 0) : inside[-1] + 2]


def _outside(what: str, latitude: Degrees, longitude: Degrees, area: Area) -> str:
    south, north, west, east = area
    return (
        f"{what} covers latitude {latitude.min():g}..{latitude.max():g} and longitude {longitude.min():g}.."
        f"{longitude.max():g} (centres of cells); the area is {south:g}..{north:g} and {west:g}..{east:g}. Change box= "
        "or margin= so that it lies inside (box=[south,north,west,east]), leave the file out, or give others that "
        "cover it."
    )


def check_covered(what: str, latitude: Degrees, longitude: Degrees, area: Area) -> None:
    """Raise ValueError where centres of cells do not enclose the area; the message says what they cover."""
    tolerance = 1e-3 * np.median(np.diff(latitude)), 1e-3 * np.median(np.diff(longitude))
    low = latitude[0] <= area[0] + tolerance[0] and longitude[0] <= area[2] + tolerance[1]
    if not low or latitude[-1] < area[1] - tolerance[0] or longitude[-1] < area[3] - tolerance[1]:
        raise ValueError(_outside(what, latitude, longitude, area))


def surface(dataset: "xr.Dataset", dims: Sequence[str], name: str, file: str) -> tuple[dict[str, int], list[str]]:
    """Choose the uppermost level of each dimension that is neither time nor on the map.

    Returns:
        The index by dimension, and what was taken.

    Raises:
        ValueError: if a dimension longer than 1 is no depth.
    """
    chosen, notes = dict[str, int](), []
    for dim in dims:
        its = dataset.variables.get(dim, _levels_along(dataset, dim))
        attributes = its.attrs if its is not None else {}
        vertical = attributes.get("axis") == "Z" or "positive" in attributes or re.match(_LEVELS, dim.lower())
        size = dataset.sizes[dim]
        if size > 1 and not vertical:
            raise ValueError(
                f"{file}: {name} has the dimension {dim} of {size}, which is no time, depth, latitude or longitude. "
                f"Choose one of them, for example by ncks -d {dim},0 {file} new.nc"
            )
        heights = np.abs(numbers(its)) if its is not None and its.dims == (dim,) else np.zeros(1)
        if size > 1 and its is None and re.match(_FOLLOWING, dim.lower()):  # ROMS counts from the ground, POM does not
            raise ValueError(
                f"{file}: {name} has {size} levels along {dim}, and nothing says how deep they are. Choose the one at "
                f"the surface, for example by ncks -d {dim},0 {file} new.nc"
            )
        chosen[dim] = int(np.nanargmin(heights)) if np.isfinite(heights).any() else 0
        if vertical:
            level = f"{dim} {heights[chosen[dim]]:g}" if its is not None else f"the first {dim}"
            notes.append(f"of {size} level{'s' * (size > 1)} the uppermost, {level}, is taken.")
    return chosen, notes


def _levels_along(dataset: "xr.Dataset", dim: str) -> "xr.Variable | None":
    """Return the depths along a dimension without a coordinate of its name: nav_lev along z."""
    along = (its for name, its in dataset.variables.items() if its.dims == (dim,) and re.match(_LEVELS, str(name)))
    return next(along, None)
