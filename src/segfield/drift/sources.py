"""Fields of the sea from files of any origin: u, v, ssh, sst on a map, in one set of units, axes and times.

Each file is opened once, one at a time, and only the part that the area needs is read. What had to be decided is told
in sentences. Not here: how names, units, grids, times and land are understood (sources_*.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from segfield.densities import Field
from segfield.drift import sources_land, sources_names, sources_units
from segfield.drift.sources_centre import together
from segfield.drift.sources_grid import Area, Cut, axes_of, check_covered, cut, surface
from segfield.drift.sources_join import Reading, add, joined
from segfield.drift.sources_names import KNOWN, Rank
from segfield.drift.sources_open import digest, numbers, opened
from segfield.drift.sources_times import times_of

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Sources:
    """What was read: fields by name, (file name, sha256) of every file, and what was decided, a sentence each."""

    fields: dict[str, Field]
    files: list[tuple[str, str]]
    notes: list[str]


@dataclass
class _Wish:
    """What the user asked for, and what was seen on the way."""

    area: Area
    needed: Area
    names: Mapping[str, str]
    units: Mapping[str, str]
    seen: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def note(self, *sentences: str) -> None:
        """Keep sentences, each once however many files say it."""
        self.notes.update(dict.fromkeys(sentences))


def read_fields(
    files: Sequence[Path],
    area: Area,
    *,
    names: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    land: str | None = None,
    wanted: Sequence[str] = (),
    needed: Area | None = None,
) -> Sources:
    """Read the fields of an area from NetCDF files.

    Args:
        files: in any order; of one or several variables, days and grids. One field lies on one grid.
        area: (south, north, west, east) in degrees, west < east, counted as the fields will be: -10..10 and 350..370
            are the same place.
        names: variables of the files by field, where they are not found or others are wanted: {u: uo}. A field of your
            own is read in the units of its file.
        units: of the files' variables by field, where they are missing or wrong: {ssh: cm}. Also of
            time, where it does not say them: {time: days since 1950-01-01}.
        land: <file>:<variable>, 1 at sea; or "zeros": u and v are exactly 0 on land. None: NaN and fill values alone.
        wanted: fields that must be there; others that are found are read too.
        needed: the part of the area that every field must cover; None: all of it.

    Returns:
        Fields with ascending times, latitudes and longitudes, of the area and one cell more on each side where there is
        one. u and v share cells and times; apart from that each has its own grid, times and NaN.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if files, variables, units, grids or times cannot be understood, or what is needed of the
            area is not covered; the message says what was expected and found, and what to type.
    """
    wish = _Wish(area, needed or area, names or {}, units or {})
    _check_call(files, wish)
    mask = sources_land.parsed(land) if land and land != sources_land.ZEROS else None
    readings = dict[str, Reading]()
    hashes = []
    for path in dict.fromkeys(files):  # patterns may overlap
        with opened(path) as dataset:
            _take(dataset, path, wish, readings)
        hashes.append((path.name, digest(path)))
    _check_found([*wish.names, *wanted], readings, wish)
    fields = _finished(readings, wish)
    if mask:
        hashes.append((mask[0].name, digest(mask[0])))
    return Sources(_with_land(fields, land, mask, wish), hashes, list(wish.notes))


def _check_found(needed: Sequence[str], readings: Mapping[str, Reading], wish: _Wish) -> None:
    for name in needed:
        if name not in readings:
            raise ValueError(sources_names.missing(name, list(wish.seen), wish.names.get(name)))
    if not readings:
        raise ValueError(sources_names.nothing(list(wish.seen)))


def _finished(readings: dict[str, Reading], wish: _Wish) -> dict[str, Field]:
    """Join the pieces of each field, and u and v on one grid; what was read is let go."""
    fields = dict[str, Field]()
    for name in sorted(readings):
        fields[name], said = joined(name, readings.pop(name))
        wish.note(*said)
    if "u" in fields and "v" in fields:
        fields["u"], fields["v"], said = together(fields["u"], fields["v"])
        wish.note(*said)
    for name, one in fields.items():
        check_covered(f"{name} ({one.source})", one.latitude, one.longitude, wish.needed)
    return fields


def _check_call(files: Sequence[Path], wish: _Wish) -> None:
    if not files:
        raise ValueError("There are no files: what was given as fields= matches none. Give NetCDF files or a pattern.")
    south, north, west, east = wish.area
    if not (-90 <= south < north <= 90 and west < east <= west + 360):
        raise ValueError(
            f"The area {south:g}..{north:g} N {west:g}..{east:g} E is none: expected south < north and west < east, at "
            "most 360 degrees wide. Across the date line count on: 170..190 or -190..-170."
        )
    sources_names.check_names(wish.names)
    for name in wish.units:
        if name not in (*KNOWN, "time", *wish.names):
            known = ", ".join((*KNOWN, "time", *wish.names))
            raise ValueError(f"units has {name!r}: expected one of {known}. For example 'units={{u: m/s}}'")


def _take(dataset: "xr.Dataset", path: Path, wish: _Wish, readings: dict[str, Reading]) -> None:
    """Read from one file every field that no file before had a better variable for."""
    maps = {str(name): its.attrs for name, its in dataset.variables.items() if its.ndim >= 2}
    wish.seen.update(dict.fromkeys(name for name in maps if not name.endswith(("_bnds", "_bounds"))))
    taken = False
    for name in dict.fromkeys((*KNOWN, *wish.names)):
        ranks = _ranks(name, maps, wish)
        if not ranks:
            continue
        best, *others = ranks
        before = readings.get(name)
        if before and before.rank[-1] == best[-1]:  # the same, though one file may say less of it
            best = before.rank
        elif before:
            better = min(best, before.rank)[-1]
            wish.note(
                f"{name} is {better}, of {best[-1]} and {before.rank[-1]} in the files ('names={{{name}: ...}}')."
            )
        if others and name not in wish.names:
            wish.note(f"{name} is {best[-1]}; also there: {', '.join(one[-1] for one in others)}.")
        if before is None or best <= before.rank:
            _read(dataset, path, name, best, wish, readings)
        taken = True
    if not taken:
        wish.note(f"{path.name} holds none of the fields and is not used.")


def _ranks(name: str, maps: Mapping[str, Mapping[str, object]], wish: _Wish) -> list[Rank]:
    if name in wish.names:
        return [(-1, 0, 0, wish.names[name])] if wish.names[name] in maps else []
    said = ("standard_name", "long_name")
    ranks = (sources_names.rank(name, one, *(str(its.get(key, "")) for key in said)) for one, its in maps.items())
    return sorted(rank for rank in ranks if rank)


def _read(dataset: "xr.Dataset", path: Path, name: str, rank: Rank, wish: _Wish, readings: dict[str, Reading]) -> None:
    """Read one field's part of one file."""
    variable = rank[-1]
    its = dataset.variables[variable]
    if its.dtype.kind not in "iuf":
        raise ValueError(
            f"{path.name}: {variable}, taken for {name}, is of type {its.dtype}; expected numbers. Take another one: "
            f"'names={{{name}: <variable>}}'"
        )
    axes = axes_of(dataset, variable, path.name)
    where, turned = cut(axes, wish.area, f"{path.name}: {variable}", wish.needed)
    others = [str(dim) for dim in its.dims if dim not in (axes.rows, axes.columns)]
    dimension, time, dated = times_of(dataset, others, wish.units.get("time"), path.name)
    levels, chosen = surface(dataset, [dim for dim in others if dim != dimension], variable, path.name)
    units = sources_units.units_of(name, variable, str(its.attrs.get("units", "")), wish.units, path.name)
    wish.note(*(f"{name}: {sentence}" for sentence in (*turned, *chosen)), *dated)
    order = [*([dimension] if dimension else []), axes.rows, axes.columns]
    part: xr.Variable = its.isel(levels).transpose(*order)
    values, fills = sources_units.converted(name, _subset(part, where), units)
    if fills:
        wish.note(f"{name}: {fills} values like -9999 that {path.name} does not declare as missing are.")
    if name not in wish.units:
        sources_units.check_values(name, variable, values, units, path.name)
    wish.note(*sources_units.told(name, variable, units, str(its.attrs.get("units", ""))))
    if name not in readings or rank < readings[name].rank:
        readings[name] = Reading(rank, where, sources_units.final_units(name, units))
    add(name, readings[name], where, (time, values, path.name))


def _subset(part: "xr.Variable", where: Cut) -> npt.NDArray[np.float64]:
    """Read [t, h, w] of a cut, t is 1 without a time: one block, or two where the file's seam lies within."""
    rows = slice(int(where.rows.min()), int(where.rows.max()) + 1)
    breaks = np.flatnonzero(np.abs(np.diff(where.columns)) != 1) + 1
    blocks = []
    for run in np.split(where.columns, breaks):
        first, last = int(run.min()), int(run.max())
        block = numbers(part[..., rows, first : last + 1])
        block = block.reshape(-1, *block.shape[-2:])
        blocks.append(block[:, where.rows - rows.start][:, :, run - first])
    return np.concatenate(blocks, axis=2)


def _reached(fields: Mapping[str, Field], area: Area) -> Area:
    """Return as much of the area as any field reaches."""
    lows, highs = ([(one.latitude[at], one.longitude[at]) for one in fields.values()] for at in (0, -1))
    south, west = np.min(lows, axis=0)
    north, east = np.max(highs, axis=0)
    return max(area[0], south), min(area[1], north), max(area[2], west), min(area[3], east)


def _with_land(
    fields: dict[str, Field], land: str | None, mask: tuple[Path, str] | None, wish: _Wish
) -> dict[str, Field]:
    if mask:
        fields, said = sources_land.masked(fields, *mask, _reached(fields, wish.area))
        wish.note(said)
    elif land:
        fields, said = sources_land.without_still(fields)
        wish.note(said)
    elif doubt := sources_land.suspected(fields):
        wish.note(doubt)
    return fields
