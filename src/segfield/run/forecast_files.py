"""What a forecast writes: density.nc first, which says whose the folder is, then forecast.csv and forecast.png."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from segfield import densities
from segfield.data.ocean_density.course import Course
from segfield.figures.forecast import forecast_strip
from segfield.files import whole, write_text
from segfield.metrics.samples import region_thresholds

DENSITY, TABLE, PICTURE = "density.nc", "forecast.csv", "forecast.png"
COLUMNS = ("hours", "time", "mass", "latitude", "longitude", "drift_km", "km2_50", "km2_90")
_DIMENSIONS = ("time", "latitude", "longitude")

Maps = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """A forecast: [T, H, W] densities of a course, T hours since its start, and where that was."""

    course: Course
    maps: Maps
    point: tuple[float, float]


def write(folder: Path, forecast: Predicted, attributes: Mapping[str, Any], title: str) -> None:
    """Write all files, each whole.

    Args:
        folder: of them.
        forecast: what is in them.
        attributes: of density.nc.
        title: of the picture.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
    """
    _write_density(folder / DENSITY, forecast, attributes)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows(_measured(forecast))
    write_text(folder / TABLE, text.getvalue())
    prepared, times = forecast.course.prepared, forecast.course.times
    titles = [f"+{hours:g} h, {_clock(time)}" for hours, time in zip(forecast.course.hours, times, strict=True)]
    picture = forecast_strip(
        forecast.maps,
        titles,
        valid=prepared.sea,
        latitude=prepared.latitude,
        longitude=prepared.longitude,
        point=forecast.point,
        title=title,
    )
    with whole(folder / PICTURE) as file:
        Image.fromarray(picture).save(file, format="png")


def _clock(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]"))[5:].replace("T", " ")


def _write_density(path: Path, forecast: Predicted, attributes: Mapping[str, Any]) -> None:
    course, prepared = forecast.course, forecast.course.prepared
    with densities.new_netcdf(path) as file:
        file.dimensions = dict(zip(_DIMENSIONS, forecast.maps.shape, strict=True))
        file.attrs.update({"Conventions": "CF-1.10", "title": "Forecast of the density of a drifting object"})
        file.attrs.update(attributes)
        seconds = course.times.astype("datetime64[s]").astype(np.int64)
        small: list[tuple[str, tuple[str, ...], npt.NDArray[Any], dict[str, str]]] = [
            ("time", _DIMENSIONS[:1], seconds, {"units": densities.SECONDS, "standard_name": "time"}),
            ("hours", _DIMENSIONS[:1], course.hours, {"units": "h", "standard_name": "forecast_period"}),
            ("land", _DIMENSIONS[1:], (~prepared.sea).astype(np.uint8), {"standard_name": "land_binary_mask"}),
        ]
        for axis in _DIMENSIONS[1:]:
            said = dict(zip(("units", "standard_name"), densities.AXES[axis], strict=True))
            small.append((axis, (axis,), getattr(prepared, axis), said))
        for name, dims, values, said in small:
            file.create_variable(name, dims, values.dtype, data=values).attrs.update(said)
        file.variables["time"].attrs["calendar"] = "standard"
        how = {"chunks": (1, *forecast.maps.shape[1:]), "compression": "gzip", "compression_opts": 4, "shuffle": True}
        variable = file.create_variable("density", _DIMENSIONS, np.float32, data=forecast.maps, **how)
        said = {"long_name": "probability that the object is in the cell", "units": "1", "coordinates": "hours"}
        variable.attrs.update(said)


def _measured(forecast: Predicted) -> list[list[str]]:
    """Return the row of each map: mass, centre, its distance from the first one's, and areas; empty without mass.

    Centres, distances and regions are those of the scores: negative densities count as 0, kilometres are the region's.
    """
    prepared = forecast.course.prepared
    cells = np.stack([*np.meshgrid(prepared.latitude, prepared.longitude, indexing="ij"), *prepared.places()])
    height, width = (densities.KM_PER_DEGREE * (axis[1] - axis[0]) for axis in (prepared.latitude, prepared.longitude))
    areas = height * width * np.cos(np.deg2rad(cells[0]))
    rows: list[list[str]] = []
    first: npt.NDArray[np.float64] | None = None
    for hours, time, density in zip(forecast.course.hours, forecast.course.times, forecast.maps, strict=True):
        known = [f"{density.sum(dtype=np.float64):.6g}"]
        weights = density.clip(min=0)
        if weights.any():
            centre = (cells * weights).sum((1, 2)) / weights.sum(dtype=np.float64)
            first = centre if first is None else first
            regions = [weights >= float(one) for one in region_thresholds(torch.from_numpy(weights.reshape(-1)))]
            numbers = (*centre[:2], np.hypot(*(centre - first)[2:]), *(areas[region].sum() for region in regions))
            known += [f"{number:.6g}" for number in numbers]
        rows.append([f"{hours:g}", str(time.astype("datetime64[m]")), *known, *[""] * (6 - len(known))])
    return rows


def rows_of(folder: Path) -> list[dict[str, str]]:
    """Return the rows of forecast.csv."""
    with (folder / TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


def attributes_of(path: Path) -> dict[str, Any]:
    """Return the attributes of a density.nc.

    Raises:
        ValueError: if it cannot be read.
    """
    import h5netcdf

    try:
        with h5netcdf.File(path, "r") as file:
            return dict(file.attrs)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} cannot be read: {error}. Delete it, or choose another out=<folder>.") from error
