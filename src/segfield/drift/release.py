"""When and where particles are released: drawn for each ensemble from (seed, its number), whatever its block."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from segfield.densities import KM_PER_DEGREE
from segfield.drift.counts import Land
from segfield.drift.protocol import Protocol

Times = npt.NDArray[np.datetime64]
_TRIES = 10_000


@dataclass(frozen=True, kw_only=True)
class Release:
    """Of one ensemble: `start`, `centre` (latitude, longitude), `positions` [P, 2], centres `redrawn` for land."""

    start: np.datetime64
    centre: tuple[float, float]
    positions: npt.NDArray[np.float64]
    redrawn: int


def possible_starts(time: Times, protocol: Protocol, gaps: Sequence[tuple[np.datetime64, np.datetime64]]) -> Times:
    """Return the times, multiples of every_hours from midnight, from which an ensemble meets fields until its end.

    Args:
        time: [T] of the fields, ascending.
        protocol: says how long an ensemble drifts; a map's time more is kept, for the last step looks ahead.
        gaps: (from, to) between which fields are absent.

    Raises:
        ValueError: if there is no such time; the message says which days the fields cover.
    """
    first, last = time[[0, -1]].astype("datetime64[s]").astype(np.int64)
    need = protocol.seconds + protocol.every
    starts = np.arange(-(-first // protocol.every) * protocol.every, last - need + 1, protocol.every)
    for begin, end in ([side.astype("datetime64[s]").astype(np.int64) for side in gap] for gap in gaps):
        starts = starts[(starts >= end) | (starts + need <= begin)]
    if starts.size:
        return starts.astype("datetime64[s]").astype("datetime64[ns]")
    edges = [time[0], *(side for gap in gaps for side in gap), time[-1]]
    said = [np.datetime_as_string(side, unit="h").replace("T", " ") + " h" for side in edges]
    covered = ", ".join(f"{begin} to {end}" for begin, end in zip(said[::2], said[1::2], strict=True))
    raise ValueError(
        f"No ensemble can start: days={protocol.days:g} and a map of {protocol.every_hours:g} hours need "
        f"{need / 86400:g} days of fields without a gap; they cover {covered}. Use fewer days, or files of more days."
    )


def draw(protocol: Protocol, number: int, starts: Times, land: Land) -> Release:
    """Draw an ensemble.

    Args:
        protocol: of the set.
        number: of the ensemble, 0 first.
        starts: among which its start is drawn.
        land: centres on land are drawn again, so are particles of the disc.

    Raises:
        ValueError: if the box has no sea.
    """
    rng = np.random.default_rng([protocol.seed, number])
    start = starts[int(rng.integers(len(starts)))]
    redrawn = 0
    if protocol.points is not None:
        centre = protocol.points[number % len(protocol.points)]
    else:
        south, north, west, east = protocol.box
        centre = float(rng.uniform(south, north)), float(rng.uniform(west, east))
        while land.at(*centre):
            redrawn += 1
            if redrawn > _TRIES:
                raise ValueError(
                    f"box={list(protocol.box)} has no sea: {_TRIES} points in it were on land, "
                    "where the currents are always missing. Move it."
                )
            centre = float(rng.uniform(south, north)), float(rng.uniform(west, east))
    positions = np.empty((protocol.particles, 2))
    wanted = np.arange(protocol.particles)
    while wanted.size:  # ends: the centre's own cell is sea
        positions[wanted] = _disc(rng, centre, protocol.radius_km, wanted.size)
        wanted = wanted[land.at(positions[wanted, 0], positions[wanted, 1])]
    return Release(start=start, centre=centre, positions=positions, redrawn=redrawn)


def check(protocol: Protocol, land: Land) -> None:
    """Raise ValueError where a point that the user gave lies on land, or where the box has no sea.

    The message names the nearest sea to the point.
    """
    for latitude, longitude in protocol.points or ():
        if land.at(latitude, longitude):
            sea = land.nearest_sea(latitude, longitude)
            near = f"The nearest sea is at [{sea[0]:.6g},{sea[1]:.6g}]." if sea else "All of the fields is land."
            raise ValueError(f"points=[[{latitude:g},{longitude:g}]] lies on land. {near}")
    draw(replace(protocol, particles=1), 0, np.zeros(1, "datetime64[ns]"), land)


def _disc(rng: np.random.Generator, centre: tuple[float, float], radius: float, size: int) -> npt.NDArray[np.float64]:
    """Draw points uniformly in a disc of a radius in km; [size, 2] latitude and longitude."""
    far, turn = radius * np.sqrt(rng.uniform(size=size)), rng.uniform(0, 2 * np.pi, size=size)
    north, east = far * np.sin(turn) / KM_PER_DEGREE, far * np.cos(turn) / KM_PER_DEGREE
    points = np.stack([centre[0] + north, centre[1] + east / np.cos(np.deg2rad(centre[0]))], axis=-1)
    return points.astype(np.float32).astype(np.float64)  # as paths are kept: rounding puts none on land
