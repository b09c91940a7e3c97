"""A small analytic set of drift densities: a cloud of particles that a uniform current carries to the north-east."""

from pathlib import Path
from typing import Any

import numpy as np

from segfield.densities import Field, Layout, write

DAY = np.timedelta64(24, "h")
FIRST = np.datetime64("2005-04-01T00:00:00", "ns")


def write_set(
    folder: Path,
    *,
    samples: int = 15,
    days: float = 42,
    maps: int = 5,
    size: tuple[int, int] = (16, 20),
    particles: int = 200,
    fields: tuple[str, ...] = ("u", "v", "ssh", "sst"),
    hole: bool = False,
) -> Path:
    """Write a prepared set of `samples` ensembles that start evenly over `days` less two; maps every 6 hours.

    The two southernmost rows are land in their three western cells. u, v [m/s], ssh [m] are daily on a 1/8-degree
    grid; sst [degC] is daily at noon on a grid of 0.1 degree. Each is a linear function of place plus a wave in time.
    `hole`: one value of ssh is missing at every time, at sea.
    """
    height, width = size
    latitude, longitude = 38 + np.arange(height) / 48, 3 + np.arange(width) / 48
    land = np.zeros(size, dtype=np.bool_)
    land[:2, :3] = True
    hours = np.linspace(0, (days - 2) * 24, samples).round()  # few of them are a field's own time
    start = FIRST + hours.astype("timedelta64[h]").astype("timedelta64[ns]")
    rng = np.random.default_rng(0)
    centre = np.stack([rng.uniform(0.3, 0.5, samples) * height, rng.uniform(0.3, 0.5, samples) * width], axis=1)
    counts = np.stack([_cloud(rng, one, maps, land, particles) for one in centre])
    left = (particles - counts.sum(axis=(2, 3))).astype(np.uint16)
    layout = Layout(
        start=start,
        hours=np.arange(maps) * 6.0,
        latitude=latitude,
        longitude=longitude,
        land=land,
        release=np.stack([38 + centre[:, 0] / 48, 3 + centre[:, 1] / 48], axis=1),
        particles=particles,
        attributes={"protocol": "{}"},
    )
    write(
        folder,
        layout,
        [(counts, (left, np.zeros_like(left)))],
        [_field(name, days, size, hole=hole) for name in fields],
    )
    return folder


def _cloud(rng: np.random.Generator, centre: np.ndarray, maps: int, land: np.ndarray, particles: int) -> np.ndarray:
    """Return counts [maps, H, W] of one cloud that moves by a cell and a half a map; what leaves or beaches is gone."""
    height, width = land.shape
    places = centre + rng.normal(0, 1.2, (particles, 2))
    counts = np.zeros((maps, height, width), dtype=np.uint16)
    for step in range(maps):
        rows, columns = np.floor(places + np.array([1.0, 1.5]) * step).astype(int).T
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        np.add.at(counts[step], (rows[inside], columns[inside]), 1)
        counts[step][land] = 0
    return counts


def _field(name: str, days: float, size: tuple[int, int], *, hole: bool) -> Field:
    step, late = (0.1, 12) if name == "sst" else (0.125, 0)
    latitude, longitude = (
        first - 0.3 + np.arange(cells / 48 / step + 6) * step for first, cells in zip((38, 3), size, strict=True)
    )
    first = -1 if late else 0
    time = FIRST + (np.arange(first, int(days) + 2) * 24 + late).astype("timedelta64[h]").astype("timedelta64[ns]")
    north, east = np.meshgrid(latitude - 38, longitude - 3, indexing="ij")
    base, slope = {"u": (0.2, 0.1), "v": (0.1, -0.1), "ssh": (0.05, 0.3)}.get(name, (18.0, -2.0))
    wave = np.sin((time - FIRST) / DAY / 7 * 2 * np.pi)
    values = base + slope * north + 0.5 * slope * east + (0.3 * base * wave)[:, None, None]
    if hole and name == "ssh":
        values[:, 4, 4] = np.nan  # 38.2 N, 3.2 E
    units: dict[str, Any] = {"u": "m s-1", "v": "m s-1", "ssh": "m"}
    return Field(
        name=name,
        values=values.astype(np.float32),
        time=time,
        latitude=latitude,
        longitude=longitude,
        units=units.get(name, "degC"),
        source="analytic",
    )
