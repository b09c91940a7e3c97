"""The last step: densities.nc and the fields from all blocks, one in memory at a time, and one ensemble's maps."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segfield import densities
from segfield.densities import BLOCKS, Block, Field, Layout
from segfield.drift.blocks import Plan, files, read, wanted_region
from segfield.drift.counts import Land, Region, cells_of, centres
from segfield.drift.protocol import Protocol


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What came of it: the grid, means over the ensembles after the last map, and sums."""

    samples: int
    region: tuple[float, float, float, float]
    shape: tuple[int, int]
    inside: float
    left: int
    beached: int
    redrawn: int


def finish(folder: Path, plan: Plan, history: str, check: Callable[[], None] = lambda: None) -> Summary:
    """Fix the region, write the set from its blocks, which must all be there, and remove them.

    Args:
        folder: of the set.
        plan: of the set.
        history: the command that made it.
        check: is called before each ensemble, and may raise.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
        ValueError: if a block is damaged.
    """
    protocol, land = plan.protocol, Land(plan.u, plan.v, plan.protocol.resolution)
    about, rectangles = _surveyed(folder, protocol)
    region = wanted_region(protocol) or _union(rectangles, protocol)
    rows, columns = (centres(*side, protocol.resolution) for side in (region[:2], region[2:]))
    south, north, west, east = (side / protocol.resolution for side in region)
    layout = Layout(
        start=about["start"].astype("datetime64[s]").astype("datetime64[ns]"),
        hours=np.array(protocol.hours),
        latitude=rows,
        longitude=columns,
        land=land.cells(np.arange(*region[:2])[:, None], np.arange(*region[2:])[None, :]),
        release=about["release"],
        particles=protocol.particles,
        attributes={
            "title": "Densities of drifting particles in the sea",
            "history": history,
            "region": np.array([south, north, west, east]),
            "redrawn": np.int64(about["redrawn"].sum()),
            "currents": f"u: {plan.u.source}; v: {plan.v.source}",
            **{name: json.dumps(section) for name, section in plan.header.items()},
        },
    )

    def every() -> Iterator[Block]:
        """Yield the maps of one ensemble after the other."""
        for path, _ in files(folder, protocol):
            for one in read(path)[0].each():
                check()
                yield one.dense(region)

    cut = [_cut(field, (south, north, west, east)) for field in plan.fields]
    densities.write(folder, layout, every(), cut)
    shutil.rmtree(folder / BLOCKS)
    left, beached = about["left"], about["beached"]
    inside = 1 - (left + beached) / protocol.particles
    return Summary(
        samples=len(left),
        region=(south, north, west, east),
        shape=layout.land.shape,
        inside=float(inside.mean()),
        left=int(left.sum()),
        beached=int(beached.sum()),
        redrawn=int(about["redrawn"].sum()),
    )


def _surveyed(folder: Path, protocol: Protocol) -> tuple[dict[str, npt.NDArray[Any]], list[Region | None]]:
    """Return what is known of each ensemble, with its losses at the end, and the cells that each block needs."""
    found, rectangles = [], []
    for path, _ in files(folder, protocol):
        sparse, about = read(path)
        rectangles.append(sparse.rectangle())
        found.append({**about, "left": sparse.left[:, -1].astype(int), "beached": sparse.beached[:, -1].astype(int)})
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}, rectangles


def _union(rectangles: list[Region | None], protocol: Protocol) -> Region:
    """Return the smallest region that holds all of them, and a cell around it; the box where there are none."""
    known = np.array([one for one in rectangles if one] or [cells_of(protocol.box, protocol.resolution)])
    return (
        int(known[:, 0].min()) - 1,
        int(known[:, 1].max()) + 1,
        int(known[:, 2].min()) - 1,
        int(known[:, 3].max()) + 1,
    )


def _cut(field: Field, region: tuple[float, float, float, float]) -> Field:
    """Return a field on its own grid where it covers the region, and one point more on each side."""
    south, north, west, east = region
    rows, columns = (
        slice(max(int(np.searchsorted(axis, low, side="right")) - 2, 0), int(np.searchsorted(axis, high)) + 2)
        for axis, low, high in ((field.latitude, south, north), (field.longitude, west, east))
    )
    return replace(
        field,
        values=field.values[:, rows, columns],
        latitude=field.latitude[rows],
        longitude=field.longitude[columns],
    )
