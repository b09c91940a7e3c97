"""When and where particles are released: drawn for each ensemble from (seed, its number), whatever its block.

And the density of a release without draws, from which a forecast starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from segfield.densities import KM_PER_DEGREE
from segfield.drift.counts import Land
from segfield.drift.protocol import Protocol

Times = npt.NDArray[np.datetime64]
_TRIES = 10_000
_MANY = 2**17  # points that stand for a disc
_GOLDEN = np.pi * (3 - np.sqrt(5))  # [radian] from one of them to the next: they are spread evenly
_NUDGE = 1e-9  # of a cell: a point on the border of two belongs to the later one


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
    return _placed(centre, radius, rng.uniform(size=size), rng.uniform(0, 2 * np.pi, size=size))


def _placed(
    centre: tuple[float, float], radius: float, share: npt.NDArray[np.float64], turn: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Place points in a disc: within each lies that share of the area, and it lies to that side [radian]."""
    far = radius * np.sqrt(share)
    north, east = far * np.sin(turn) / KM_PER_DEGREE, far * np.cos(turn) / KM_PER_DEGREE
    points = np.stack([centre[0] + north, centre[1] + east / np.cos(np.deg2rad(centre[0]))], axis=-1)
    return points.astype(np.float32).astype(np.float64)  # as paths are kept: rounding puts none on land


@dataclass(frozen=True, kw_only=True)
class Released:
    """A release: `density` [H, W] float64, the share of the disc that is land, that of the mass beyond the cells.

    `centre` is the point, its longitude as the cells count theirs.
    """

    density: npt.NDArray[np.float64]
    centre: tuple[float, float]
    land: float
    outside: float


def released(
    point: tuple[float, float],
    radius: float,
    latitude: npt.NDArray[np.float64],
    longitude: npt.NDArray[np.float64],
    sea: npt.NDArray[np.bool_],
) -> Released:
    """Return the density of ever so many particles that draw() would place, on cells.

    They lie evenly in the sea of the disc; what is outside of the cells is taken for sea, and has left.

    Args:
        point: latitude and longitude of the centre, in degrees; the longitude in any convention.
        radius: of the disc in km, above 0.
        latitude: [H] of the cells' centres.
        longitude: [W], likewise.
        sea: [H, W].

    Raises:
        ValueError: if the point is outside of the cells or on land; the message says where they or the sea are.
    """
    centre = point[0], point[1] + 360 * round((longitude.mean() - point[1]) / 360)
    turn = np.arange(1, _MANY) * _GOLDEN
    points = np.concatenate([[centre], _placed(centre, radius, np.arange(1, _MANY) / _MANY, turn)])
    cells = [_cell(axis, points[:, side]) for side, axis in enumerate((latitude, longitude))]
    inside = np.logical_and.reduce([(cell >= 0) & (cell < side) for cell, side in zip(cells, sea.shape, strict=True)])
    at_sea = np.zeros(_MANY, dtype=np.bool_)
    at_sea[inside] = sea[cells[0][inside], cells[1][inside]]
    if not at_sea[0]:
        raise ValueError(_misplaced(centre, latitude, longitude, sea, on_land=bool(inside[0])))
    mass = int((at_sea | ~inside).sum())
    counts = np.zeros(sea.shape, dtype=np.int64)
    np.add.at(counts, (cells[0][at_sea], cells[1][at_sea]), 1)
    beyond = float((~inside).sum() / mass)
    return Released(density=counts / mass, centre=centre, land=1 - mass / _MANY, outside=beyond)


def _cell(axis: npt.NDArray[np.float64], degrees: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return in which cell of evenly spaced ones places lie; beyond their ends it is none of them."""
    return np.asarray(np.floor((degrees - axis[0]) / (axis[1] - axis[0]) + 0.5 + _NUDGE), dtype=np.int64)


def _misplaced(
    centre: tuple[float, float],
    latitude: npt.NDArray[np.float64],
    longitude: npt.NDArray[np.float64],
    sea: npt.NDArray[np.bool_],
    *,
    on_land: bool,
) -> str:
    """Say why nothing is released at a point, and where it could be."""
    named = f"point=[{centre[0]:g},{centre[1]:g}]"
    if not on_land:
        half = [(axis[1] - axis[0]) / 2 for axis in (latitude, longitude)]
        spans = [f"{a[0] - h:.6g} to {a[-1] + h:.6g}" for a, h in zip((latitude, longitude), half, strict=True)]
        return (
            f"{named} is outside of the region of the densities: latitude {spans[0]}, longitude {spans[1]}. Use a "
            "point in it, or data.root=<a set whose region holds it>."
        )
    rows, columns = np.nonzero(sea)
    if not len(rows):
        return f"{named} lies on land, as all of the region does. Use data.root=<a set of the sea>."
    east = (longitude[columns] - centre[1]) * np.cos(np.deg2rad(centre[0]))
    nearest = np.argmin((latitude[rows] - centre[0]) ** 2 + east**2)
    at = f"[{latitude[rows[nearest]]:.6g},{longitude[columns[nearest]]:.6g}]"
    return f"{named} lies on land. The nearest sea is at {at}: use point={at}."
