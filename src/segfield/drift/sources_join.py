"""The pieces of one field, read file by file: one grid, each time once, in order."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segfield.densities import Field
from segfield.drift.sources_grid import Cut
from segfield.drift.sources_names import Rank
from segfield.drift.sources_times import Times, gaps, minute


@dataclass
class Reading:
    """One field while its files are read: what it is taken from, and the pieces (time, [t, h, w], file) so far."""

    rank: Rank
    cut: Cut
    units: str
    pieces: list[tuple[Times, npt.NDArray[np.float32], str]] = field(default_factory=list)


def add(name: str, reading: Reading, where: Cut, piece: tuple[Times, npt.NDArray[np.float32], str]) -> None:
    """Add a piece.

    Raises:
        ValueError: if it lies on another grid than those before.
    """
    one, other = reading.cut, where
    pairs = ((one.latitude, other.latitude), (one.longitude, other.longitude))
    if not all(a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-2 * np.diff(a).min()) for a, b in pairs):
        raise ValueError(
            f"{name} is on two grids: {_grid(one)} in {reading.pieces[0][2]}, {_grid(other)} in {piece[2]}. Give the "
            "files of one of them, or regrid the others, for example by cdo remapbil,<file of the grid> old.nc new.nc"
        )
    reading.pieces.append(piece)


def _grid(cut: Cut) -> str:
    latitude, longitude = cut.latitude, cut.longitude
    return (
        f"{len(latitude)}x{len(longitude)} cells at {latitude[0]:g}..{latitude[-1]:g} N "
        f"{longitude[0]:g}..{longitude[-1]:g} E"
    )


def joined(name: str, reading: Reading) -> tuple[Field, list[str]]:
    """Join the pieces in the order of time.

    Returns:
        The field, and what is to be said of it.

    Raises:
        ValueError: if a time is there twice; the message names both files.
    """
    time = np.concatenate([times for times, _, _ in reading.pieces])
    files = [file for times, _, file in reading.pieces for _ in times]
    order = np.argsort(time, kind="stable")
    twice = np.flatnonzero(np.diff(time[order]) == np.timedelta64(0))
    if len(twice):
        first, second = (files[order[twice[0] + more]] for more in (0, 1))
        where = f"twice in {first}" if first == second else f"in {first} and in {second}"
        raise ValueError(f"{name} of {minute(time[order[twice[0]]])} is {where}. Give files that hold each time once.")
    blocks = [values for _, values, _ in reading.pieces]
    values = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
    source = f"{reading.rank[-1]} of {_named([file for _, _, file in reading.pieces])}"
    notes = []
    if (order[1:] < order[:-1]).any():
        values = values[order]
        if any((np.diff(times) < np.timedelta64(0)).any() for times, _, _ in reading.pieces):
            notes.append(f"{name}: times within a file are not in order; they are sorted.")
    time = time[order]
    there = np.isfinite(values).any((1, 2))
    if not there.any():
        what = "no value in the area, all of it is land or missing. Change box=." if len(time) else "no time at all."
        raise ValueError(f"{name} ({source}) has {what}")
    if not there.all():
        empty = time[~there]
        notes.append(
            f"{name} is missing everywhere in the area at {len(empty)} of {len(time)} times, {minute(empty[0])} the "
            "first: they count as absent."
        )
        time, values = time[there], values[there]
    whole = Field(
        name=name,
        values=values,
        time=time,
        latitude=reading.cut.latitude,
        longitude=reading.cut.longitude,
        units=reading.units,
        source=source,
    )
    span = f"{minute(whole.time[0])} .. {minute(whole.time[-1])}"
    count = f"{len(time)} time{'s' * (len(time) > 1)}"
    notes.append(f"{name} is {source}: {count}, {span}, {_grid(reading.cut)}, in {reading.units}.")
    notes += [f"{name} has no time between {minute(start)} and {minute(end)}." for start, end in gaps(whole.time)]
    return whole, notes


def _named(files: Sequence[str]) -> str:
    if len(files) == 1:
        return files[0]
    return f"{len(files)} files, {min(files)} .. {max(files)}"
