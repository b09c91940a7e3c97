"""From positions to sparse counts on a grid without an end: a cell is (row, column) = floor(degrees x resolution).

Particles are inside, left or beached, and none ever comes back: at every time the counts, those that left and those
that beached are as many as were released.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from segfield.densities import Block, Field

Region = tuple[int, int, int, int]  # rows from, to, columns from, to; half open
Cells = npt.NDArray[np.int64]
_NUDGE = 1e-9  # of a cell: 37.89 x 100 is 3789.0000000000005


@final
class Land:
    """Where a grid of cells is land: where the nearest point of the currents' grid never has a velocity.

    Args:
        u: eastward, [T, h, w].
        v: northward, on the same grid.
        resolution: cells per degree.
    """

    def __init__(self, u: Field, v: Field, resolution: int) -> None:
        self.latitude, self.longitude, self.resolution = u.latitude, u.longitude, resolution
        self.mask = _land(u, v)

    def cells(self, rows: Cells, columns: Cells) -> npt.NDArray[np.bool_]:
        """Tell of cells, of any shape, whether they are land."""
        latitude, longitude = ((place + 0.5) / self.resolution for place in (rows, columns))
        return np.asarray(self.mask[_nearest(self.latitude, latitude), _nearest(self.longitude, longitude)])

    def at(self, latitude: npt.ArrayLike, longitude: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Tell of points whether their cells are land."""
        return self.cells(cell(latitude, self.resolution), cell(longitude, self.resolution))

    def nearest_sea(self, latitude: float, longitude: float) -> tuple[float, float] | None:
        """Return the point of the currents' grid nearest to a place whose cell is sea; None where all is land."""
        grid = np.stack(np.meshgrid(self.latitude, self.longitude, indexing="ij"), -1).reshape(-1, 2)
        sea = grid[~self.at(grid[:, 0], grid[:, 1])]
        if not len(sea):
            return None
        east = (sea[:, 1] - longitude) * np.cos(np.deg2rad(latitude))
        nearest = sea[np.argmin((sea[:, 0] - latitude) ** 2 + east**2)]
        return float(nearest[0]), float(nearest[1])


def missing_at_sea(u: Field, v: Field) -> float:
    """Return the share of (time, place) at sea where u or v is missing: the engine takes it for 0."""
    sea = ~_land(u, v)
    return float((np.isnan(u.values) | np.isnan(v.values))[:, sea].mean()) if sea.any() else 0.0


@dataclass(frozen=True, kw_only=True)
class Sparse:
    """Counts of E ensembles at T times, each cell that holds a particle once, in the order of (ensemble, time).

    `ends` [E, T] says behind which entry of `rows`, `columns`, `counts` a map ends; `left` and `beached` [E, T].
    """

    ends: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    columns: npt.NDArray[np.int32]
    counts: npt.NDArray[np.uint16]
    left: npt.NDArray[np.uint16]
    beached: npt.NDArray[np.uint16]

    def rectangle(self) -> Region | None:
        """Return the smallest rectangle that holds all cells; None where every particle is gone."""
        if not self.rows.size:
            return None
        rows, columns = self.rows, self.columns
        return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1

    def each(self) -> Iterator[Self]:
        """Return the counts of one ensemble after the other: maps of a large region fill memory."""
        last = [0, *self.ends[:, -1].tolist()]
        for number, (begin, end) in enumerate(pairwise(last)):
            here, entries = slice(number, number + 1), slice(begin, end)
            yield replace(
                self,
                ends=self.ends[here] - begin,
                rows=self.rows[entries],
                columns=self.columns[entries],
                counts=self.counts[entries],
                left=self.left[here],
                beached=self.beached[here],
            )

    def dense(self, region: Region) -> Block:
        """Return counts [E, T, H, W] of a region that holds all cells, and the losses."""
        north, east = region[1] - region[0], region[3] - region[2]
        found = np.zeros((self.ends.size, north, east), dtype=np.uint16)
        maps = np.repeat(np.arange(self.ends.size), np.diff(self.ends.reshape(-1), prepend=0))
        found[maps, self.rows - region[0], self.columns - region[2]] = self.counts
        return found.reshape(*self.ends.shape, north, east), (self.left, self.beached)


def count(positions: npt.NDArray[np.floating[Any]], land: Land, stride: int, region: Region | None = None) -> Sparse:
    """Count particles in cells.

    Args:
        positions: [E, S + 1, P, 2] latitude and longitude at every step; NaN when a particle has left the domain.
        land: what beaches them.
        stride: steps between two maps; it divides S.
        region: what leaves it, at any step, has left. None: the domain alone ends the sea.
    """
    gone = np.isnan(positions).any(-1)
    rows, columns = (cell(np.where(gone, 0.0, positions[..., axis]), land.resolution) for axis in range(2))
    if region is not None:
        gone |= (rows < region[0]) | (rows >= region[1]) | (columns < region[2]) | (columns >= region[3])
    ashore = land.cells(rows, columns) & ~gone
    left, beached = _first(gone), _first(ashore)  # [E, P]: never the same step, unless neither happens
    steps = np.arange(0, positions.shape[1], stride)[None, :, None]
    has_left = (left[:, None] <= steps) & (left < beached)[:, None]
    has_beached = (beached[:, None] <= steps) & (beached < left)[:, None]
    inside = ~(has_left | has_beached)
    ensembles, times = inside.shape[:2]
    maps = np.broadcast_to(np.arange(ensembles * times).reshape(ensembles, times, 1), inside.shape)[inside]
    rows, columns = rows[:, ::stride][inside], columns[:, ::stride][inside]
    keys, counts = _unique(maps, rows, columns)
    return Sparse(
        ends=np.cumsum(np.bincount(keys[0], minlength=ensembles * times)).reshape(ensembles, times),
        rows=keys[1].astype(np.int32),
        columns=keys[2].astype(np.int32),
        counts=counts.astype(np.uint16),
        left=has_left.sum(-1).astype(np.uint16),
        beached=has_beached.sum(-1).astype(np.uint16),
    )


def cell(degrees: npt.ArrayLike, resolution: int) -> Cells:
    """Return the rows of latitudes, or the columns of longitudes."""
    return np.floor(np.asarray(degrees, dtype=np.float64) * resolution + _NUDGE).astype(np.int64)


def cells_of(rectangle: tuple[float, ...], resolution: int) -> Region:
    """Return the cells that cover [south, north, west, east] in degrees."""
    south, north, west, east = (side * resolution for side in rectangle)
    low, high = (np.floor(side + _NUDGE) for side in (south, west)), (np.ceil(side - _NUDGE) for side in (north, east))
    (row, column), (to_row, to_column) = map(int, low), map(int, high)
    return row, to_row, column, to_column


def centres(start: int, end: int, resolution: int) -> npt.NDArray[np.float64]:
    """Return the degrees of the centres of rows or columns from `start` to before `end`."""
    return (np.arange(start, end) + 0.5) / resolution


def _land(u: Field, v: Field) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isnan(u.values).all(0) | np.isnan(v.values).all(0))


def _first(events: npt.NDArray[np.bool_]) -> Cells:
    """Return at which step [E, P] something of [E, S + 1, P] is true for the first time; S + 1: never."""
    return np.asarray(np.where(events.any(1), events.argmax(1), events.shape[1]))


def _nearest(axis: npt.NDArray[np.float64], at: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    return np.searchsorted((axis[1:] + axis[:-1]) / 2, at)


def _unique(maps: Cells, rows: Cells, columns: Cells) -> tuple[tuple[Cells, Cells, Cells], Cells]:
    """Return each (map, row, column) once, sorted, and how often it stood there."""
    if not maps.size:
        return (maps, rows, columns), maps
    south, west = rows.min(), columns.min()
    shape = (int(maps.max()) + 1, int(rows.max() - south) + 1, int(columns.max() - west) + 1)
    flat, counts = np.unique(np.ravel_multi_index((maps, rows - south, columns - west), shape), return_counts=True)
    found = np.unravel_index(flat, shape)
    return (found[0], found[1] + south, found[2] + west), counts
