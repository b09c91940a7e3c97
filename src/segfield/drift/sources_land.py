"""Land: from a mask file, or from velocities that are exactly 0 at all times, as models write it."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segfield.densities import Field
from segfield.drift.sources_grid import Area, axes_of, cut, surface
from segfield.drift.sources_open import numbers, opened
from segfield.drift.sources_times import is_time

ZEROS = "zeros"
_MANY = 0.005  # share of cells without any motion from which on land is suspected


def parsed(land: str) -> tuple[Path, str]:
    """Split <file>:<variable>.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: if it is not of that form.
    """
    file, colon, variable = land.rpartition(":")
    if not colon or not file or not variable or "/" in variable:
        raise ValueError(
            f"land={land!r}: expected <file>:<variable>, for example 'land=mesh_mask.nc:tmask', 1 at sea and 0 on "
            f"land, or land={ZEROS} where u and v are exactly 0 on land."
        )
    path = Path(file)
    with contextlib.suppress(RuntimeError):  # ~somebody: is not there, then
        path = path.expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; it was given as land=<file>:<variable>.")
    return path, variable


def masked(fields: Mapping[str, Field], path: Path, variable: str, area: Area) -> tuple[dict[str, Field], str]:
    """Set every field to NaN on the land of a mask file, whose nearest cell counts where grids differ.

    Returns:
        The fields, and what was done.

    Raises:
        ValueError: if the mask has no such variable, no sea in the area, or does not cover it.
    """
    with opened(path) as dataset:
        if variable not in dataset.variables:
            names = ", ".join(str(name) for name, its in dataset.variables.items() if its.ndim >= 2)
            raise ValueError(f"{path} has no variable {variable!r}, it has {names}: 'land={path}:<variable>'")
        its = dataset.variables[variable]
        axes = axes_of(dataset, variable, path.name)
        where, _ = cut(axes, area, f"{path.name}: {variable}")
        others = [str(dim) for dim in its.dims if dim not in (axes.rows, axes.columns)]
        depths = [dim for dim in others if dataset.sizes[dim] > 1 and not is_time(dim, {})]
        levels, _ = surface(dataset, depths, variable, path.name)
        part = its.isel({dim: levels.get(dim, 0) for dim in others})
        values = numbers(part.transpose(axes.rows, axes.columns))[np.ix_(where.rows, where.columns)]
        is_land = its.attrs.get("standard_name") == "land_binary_mask"
    sea = values == (0 if is_land else 1)
    if not sea.any():
        raise ValueError(
            f"{path}: {variable} has no sea in the area: expected 1 at sea and 0 on land, found "
            f"{', '.join(f'{value:g}' for value in np.unique(values)[:5])}. Name another one: 'land={path}:<variable>'"
        )
    result = {}
    for name, field in fields.items():
        rows, columns = _nearest(where.latitude, field.latitude), _nearest(where.longitude, field.longitude)
        here = np.where(sea[np.ix_(rows, columns)], field.values, np.float32(np.nan))
        result[name] = replace(field, values=here)
    share = 1 - sea.mean()
    meaning = "1 is land, by its standard_name" if is_land else "1 is sea"
    return result, f"land is taken from {variable} of {path.name} ({meaning}): {share:.1%} of its cells in the area."


def _nearest(places: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    middles = (places[:-1] + places[1:]) / 2
    found: npt.NDArray[np.int64] = np.searchsorted(middles, wanted)
    return found


def still(fields: Mapping[str, Field]) -> npt.NDArray[np.bool_] | None:
    """Return where u and v are exactly 0 at all times [h, w]; None where there are not both on one grid."""
    if "u" not in fields or "v" not in fields or fields["u"].values.shape != fields["v"].values.shape:
        return None
    where: npt.NDArray[np.bool_] = (fields["u"].values == 0).all(0) & (fields["v"].values == 0).all(0)
    return where


def suspected(fields: Mapping[str, Field]) -> str | None:
    """Return a sentence where many cells never move: they are land, probably, and nothing says so."""
    where = still(fields)
    if where is None or where.mean() < _MANY:
        return None
    return (
        f"u and v are exactly 0 at all times in {where.sum()} of {where.size} cells: that is land, probably, and "
        f"counts as sea now. Say so by land=<file>:<variable> (a mask, 1 at sea) or land={ZEROS}."
    )


def without_still(fields: Mapping[str, Field]) -> tuple[dict[str, Field], str]:
    """Set u and v to NaN where both are exactly 0 at all times; other fields keep their own."""
    where = still(fields)
    if where is None:
        raise ValueError(f"land={ZEROS} needs u and v; the files gave {', '.join(fields)}. Use land=<file>:<variable>.")
    result = dict(fields)
    for name in ("u", "v"):
        result[name] = replace(fields[name], values=np.where(where, np.float32(np.nan), fields[name].values))
    return result, f"the {where.sum()} of {where.size} cells where u and v are exactly 0 at all times are land."
