"""Small NetCDF files of the sea, in whatever form a test needs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

AREA = (37.0, 39.0, 1.0, 4.0)  # south, north, west, east; the grid below covers 36..40 and 0..5
Sea = Callable[..., Path]


def wave(latitude: Any, longitude: Any, day: float = 0.0) -> Any:
    """A smooth map that tells every place from every other, whatever longitude is counted from."""
    rows, columns = np.asarray(latitude), np.radians(np.asarray(longitude))
    return 0.01 * rows[:, None] + 0.3 * np.sin(columns) + 0.2 * np.cos(columns) + 0.1 * (day % 7)


@pytest.fixture
def sea(tmp_path: Path) -> Sea:
    """Write a file: sea("a.nc", uo={"units": "m/s"}) holds a wave, sea(uo=(values, {...})) what is given."""

    def write(
        file: str = "a.nc",
        *,
        days: Sequence[float] | None = (0, 1, 2),
        latitude: Any = None,
        longitude: Any = None,
        dims: Sequence[str] = ("time", "latitude", "longitude"),
        time: Mapping[str, Any] | None = None,
        coordinates: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        engine: str = "scipy",
        **variables: Any,
    ) -> Path:
        import xarray as xr

        latitude = np.arange(36, 40.1, 0.5) if latitude is None else np.asarray(latitude, dtype=float)
        longitude = np.arange(0, 5.1, 0.5) if longitude is None else np.asarray(longitude, dtype=float)
        dataset = xr.Dataset(attrs=dict(attributes or {}))
        if coordinates is None:
            dataset[dims[-2]] = (dims[-2], latitude, {"units": "degrees_north"})
            dataset[dims[-1]] = (dims[-1], longitude, {"units": "degrees_east"})
        for name, (its, values, said) in (coordinates or {}).items():
            dataset[name] = (its, values, said)
        if days is not None and time is not False:
            said = {"units": "days since 2005-04-01"} if time is None else dict(time)
            dataset["time"] = ("time", np.asarray(days, dtype=float), said)
        for name, what in variables.items():
            values, said = what if isinstance(what, tuple) else (None, what)
            if values is None:
                maps = [wave(latitude, longitude, day) for day in (days or (0,))]
                values = np.stack(maps) if "time" in dims else maps[0]
            dataset[name] = (tuple(dims), np.asarray(values), said)
        for variable in dataset.variables.values():
            if "_FillValue" not in variable.attrs:
                variable.encoding["_FillValue"] = None
        path = tmp_path / file
        dataset.to_netcdf(path, engine=engine)
        return path

    return write


@pytest.fixture(scope="session")
def area() -> tuple[float, float, float, float]:
    return AREA


@pytest.fixture(scope="session")
def waves() -> Callable[..., Any]:
    """The map that sea() writes where no values are given."""
    return wave
