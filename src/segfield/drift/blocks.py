"""A set in the making: blocks of ensembles as whole files, then densities.nc. A killed command goes on where it was.

    <folder>/blocks/protocol.json    what the blocks are made by: protocol, sources with hashes, versions
    <folder>/blocks/00000.npz        sparse counts of the first `block` ensembles, and so on

Counts do not depend on the number of blocks or of interruptions.
"""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segfield.densities import BLOCKS, FIELDS, Field
from segfield.drift.advect import Advection
from segfield.drift.counts import Land, Region, Sparse, cells_of, count
from segfield.drift.origin import Header, claim
from segfield.drift.protocol import Protocol
from segfield.drift.release import Times, draw
from segfield.files import clear_temporaries, whole

_SPARSE = ("ends", "rows", "columns", "counts", "left", "beached")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A set that is to be made.

    `u` and `v` carry the particles; `fields` are those that are written, these two among them; `starts` are the
    possible ones; `domain` (south, north, west, east) is where particles move; `header` says by what a set is made.
    """

    protocol: Protocol
    header: Header
    u: Field
    v: Field
    fields: tuple[Field, ...]
    starts: Times
    domain: tuple[float, float, float, float]


def fill(folder: Path, plan: Plan, tick: Callable[[int, int], None], check: Callable[[], None] = lambda: None) -> None:
    """Make the blocks that are not there yet.

    Args:
        folder: new, or with blocks of this very plan; see state().
        plan: of the set.
        tick: takes how many ensembles are there, first those of before, and of how many.
        check: is called often, where it may raise.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
        ValueError: if the box has next to no sea.
    """
    protocol, land = plan.protocol, Land(plan.u, plan.v, plan.protocol.resolution)
    for place in (folder, folder / BLOCKS, folder / FIELDS):
        clear_temporaries(place)
    claim(folder, plan.header)
    region = wanted_region(protocol)
    engine: Advection | None = None
    there = done(folder, protocol)
    tick(there, protocol.ensembles)
    for path, numbers in files(folder, protocol):
        if not path.is_file():
            engine = engine or Advection(plan.u, plan.v, plan.domain, protocol.dt, check=check)
            _write(path, *_block(plan, numbers, engine, land, region))
            there += len(numbers)
            tick(there, protocol.ensembles)


def done(folder: Path, protocol: Protocol) -> int:
    """Return how many ensembles of a set in the making are there."""
    return sum(len(numbers) for path, numbers in files(folder, protocol) if path.is_file())


def files(folder: Path, protocol: Protocol) -> Iterator[tuple[Path, range]]:
    """Return the files of all blocks, and which ensembles each holds."""
    for number, first in enumerate(range(0, protocol.ensembles, protocol.block)):
        last = min(first + protocol.block, protocol.ensembles)
        yield folder / BLOCKS / f"{number:05d}.npz", range(first, last)


def _block(
    plan: Plan, numbers: range, engine: Advection, land: Land, region: Region | None
) -> tuple[Sparse, dict[str, npt.NDArray[Any]]]:
    """Draw, advect and count a block of ensembles."""
    protocol = plan.protocol
    drawn = [draw(protocol, number, plan.starts, land) for number in numbers]
    start = np.array([one.start for one in drawn])
    positions = engine(start, np.stack([one.positions for one in drawn]), protocol.steps)
    about = {
        "start": start.astype("datetime64[s]").astype(np.int64),
        "release": np.array([one.centre for one in drawn]),
        "redrawn": np.array([one.redrawn for one in drawn]),
    }
    return count(positions, land, protocol.every // protocol.dt, region), about


def _write(path: Path, sparse: Sparse, about: dict[str, npt.NDArray[Any]]) -> None:
    with whole(path) as file:
        arrays: dict[str, Any] = {name: getattr(sparse, name) for name in _SPARSE} | about
        np.savez_compressed(file, **arrays)


def wanted_region(protocol: Protocol) -> Region | None:
    """Return the cells of the region that was asked for; None where it is to be found."""
    return None if protocol.region is None else cells_of(protocol.region, protocol.resolution)


def read(path: Path) -> tuple[Sparse, dict[str, npt.NDArray[Any]]]:
    """Return the counts of a block, and start, release and redrawn of its ensembles.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        with path.open("rb") as whole_file, np.load(whole_file, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        sparse = Sparse(**{name: found.pop(name) for name in _SPARSE})
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        again = "Delete it, and give the same command again."
        raise ValueError(f"{path} cannot be read: {error}. {again}") from error
    return sparse, found
