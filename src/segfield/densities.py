"""A prepared set of drift densities: what drift/ writes and data/ocean_density/ reads. CF-NetCDF, for plain xarray too.

    <folder>/densities.nc       counts (sample, time, latitude, longitude): particles in each cell
    <folder>/fields/<name>.nc   u, v [m/s], ssh [m], sst [degC]: each (time, latitude, longitude), on its source's grid
    <folder>/blocks/            of a set that is being made; densities.nc is the last thing to appear

`time` of the counts is the lead time since the release, in hours; `start` says when that was. Counts divided by the
attribute `particles` are densities: over the region they sum to the share of the particles still inside.
Not here: how sets are made (drift/), windows and splits (data/ocean_density/).
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from segfield.files import Disk, whole

if TYPE_CHECKING:
    import xarray as xr

COUNTS, FIELDS, BLOCKS = "densities.nc", "fields", "blocks"
# Channels of a target [5, H, W]: the density to predict, the one before it, the mean of the training part, and where
# each cell lies, in km to the east and to the north of the region's first cell.
NEXT, CURRENT, MEAN, EAST, NORTH = range(5)
TARGETS = 5
# How a channel of the image turns with the map: data/ocean_density/inputs.py says which, augment/rules.py does it.
RULES = ("scalar", "east", "north", "stream", "none")
UNITS = {"u": "m s-1", "v": "m s-1", "ssh": "m", "sst": "degC"}
STANDARD_NAMES = {
    "u": "eastward_sea_water_velocity",
    "v": "northward_sea_water_velocity",
    "ssh": "sea_surface_height_above_geoid",
    "sst": "sea_surface_temperature",
}
KM_PER_DEGREE = 6371.0 * np.pi / 180  # of latitude, on a sphere of the mean radius
SECONDS = "seconds since 1970-01-01 00:00:00"
_GRID = ("latitude", "longitude")
_OF_SAMPLES = "start release_latitude release_longitude"  # CF's auxiliary coordinates of the counts
AXES = {"latitude": ("degrees_north", "latitude"), "longitude": ("degrees_east", "longitude")}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One variable of the sea on the grid of its source.

    `name` is u, v, ssh, sst or your own; `values` are [T, h, w] float32 in `units`, NaN on land and where missing;
    `time` [T] datetime64[ns], `latitude` [h] and `longitude` [w] in degrees, all ascending. `source` says which
    variable of which files it was.
    """

    name: str
    values: npt.NDArray[np.float32]
    time: npt.NDArray[np.datetime64]
    latitude: npt.NDArray[np.float64]
    longitude: npt.NDArray[np.float64]
    units: str
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All of densities.nc but the counts.

    `start` [S] datetime64[ns] of the release, `hours` [T] since it; `latitude` [H] and `longitude` [W] of the cells'
    centres, degrees, ascending and evenly spaced; `land` [H, W] bool; `release` [S, 2] (latitude, longitude) of the
    circles' centres; `particles` of an ensemble; `attributes` global ones: protocol, sources, versions.
    """

    start: npt.NDArray[np.datetime64]
    hours: npt.NDArray[np.float64]
    latitude: npt.NDArray[np.float64]
    longitude: npt.NDArray[np.float64]
    land: npt.NDArray[np.bool_]
    release: npt.NDArray[np.float64]
    particles: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


Losses = tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]
Block = tuple[npt.NDArray[np.uint16], Losses]


def write(folder: Path, layout: Layout, blocks: Iterable[Block], fields: Sequence[Field]) -> None:
    """Write a prepared set; densities.nc appears last and whole.

    Args:
        folder: is made.
        layout: of the counts.
        blocks: counts [n, T, H, W] of the next n samples, and how many of their particles had left the region and had
            beached by each time, [n, T] each.
        fields: of any grids; they cover the times and the region.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
        ValueError: if the blocks have more or fewer samples than the layout.
    """
    for one in fields:
        write_field(folder, one)
    with new_netcdf(folder / COUNTS) as file:
        _write_layout(file, layout)
        done = 0
        for counts, (left, beached) in blocks:
            here = slice(done, done + len(counts))
            for name, values in (("counts", counts), ("left", left), ("beached", beached)):
                file.variables[name][here] = values
            done += len(counts)
        if done != len(layout.start):
            raise ValueError(f"{folder}: {done} samples were written, {len(layout.start)} expected.")


@contextlib.contextmanager
def new_netcdf(path: Path) -> Iterator[Any]:
    """Open a new NetCDF file that replaces `path` when the block ends without an error."""
    import h5netcdf

    with whole(path) as file:
        disk = Disk(file)
        try:
            with h5netcdf.File(disk, "w") as netcdf:
                yield netcdf
        finally:
            disk.check()


def _write_layout(file: Any, layout: Layout) -> None:
    shape = {"sample": len(layout.start), "time": len(layout.hours), **dict(zip(_GRID, layout.land.shape, strict=True))}
    file.dimensions = shape
    file.attrs.update({"Conventions": "CF-1.10", "particles": np.int64(layout.particles), **layout.attributes})

    def add(name: str, dims: tuple[str, ...], values: npt.ArrayLike, **attributes: str) -> None:
        """Write a small variable."""
        array = np.asarray(values)
        variable = file.create_variable(name, dims, array.dtype, data=array)
        variable.attrs.update(attributes)

    add("time", ("time",), layout.hours, units="h", standard_name="forecast_period", long_name="time since the release")
    start = layout.start.astype("datetime64[s]").astype(np.int64)
    add("start", ("sample",), start, units=SECONDS, calendar="standard", standard_name="forecast_reference_time")
    for name, values in (("latitude", layout.latitude), ("longitude", layout.longitude)):
        add(name, (name,), values, units=AXES[name][0], standard_name=AXES[name][1])
    for place, name in enumerate(_GRID):
        long_name = f"{name} of the centre of the circle of release"
        add(f"release_{name}", ("sample",), layout.release[:, place], units=AXES[name][0], long_name=long_name)
    add("land", _GRID, layout.land.astype(np.uint8), long_name="1 on land, 0 at sea", standard_name="land_binary_mask")
    described = {
        "counts": (tuple(shape), (1, 1, *layout.land.shape), "number of particles in the cell"),
        "left": (("sample", "time"), None, "number of particles that have left the region"),
        "beached": (("sample", "time"), None, "number of particles that have reached land"),
    }
    for name, (dims, chunks, long_name) in described.items():
        how = {"chunks": chunks, "compression": "gzip", "compression_opts": 4, "shuffle": True} if chunks else {}
        variable = file.create_variable(name, dims, np.uint16, **how)
        variable.attrs.update({"units": "1", "long_name": long_name, "coordinates": _OF_SAMPLES})


def write_field(folder: Path, field: Field) -> None:
    """Write fields/<name>.nc whole: one chunk a time, so that a reader of one time reads little else."""
    with new_netcdf(folder / FIELDS / f"{field.name}.nc") as file:
        file.dimensions = dict(zip(("time", *_GRID), field.values.shape, strict=True))
        file.attrs.update({"Conventions": "CF-1.10", "source": field.source})
        for name, values in (("latitude", field.latitude), ("longitude", field.longitude)):
            variable = file.create_variable(name, (name,), np.float64, data=values)
            variable.attrs.update({"units": AXES[name][0], "standard_name": AXES[name][1]})
        seconds = field.time.astype("datetime64[s]").astype(np.int64)
        variable = file.create_variable("time", ("time",), np.int64, data=seconds)
        variable.attrs.update({"units": SECONDS, "calendar": "standard", "standard_name": "time"})
        how = {"chunks": (1, *field.values.shape[1:]), "compression": "gzip", "shuffle": True}
        variable = file.create_variable(field.name, ("time", *_GRID), np.float32, data=field.values, **how)
        variable.attrs.update({"units": field.units, "_FillValue": np.float32(np.nan)})
        if field.name in STANDARD_NAMES:
            variable.attrs["standard_name"] = STANDARD_NAMES[field.name]


def open_counts(folder: Path) -> "xr.Dataset":
    """Open densities.nc lazily: nothing but the coordinates is read.

    Raises:
        FileNotFoundError: if there is no prepared set, or it is not finished; the message says what to type.
        ValueError: if the file is damaged or something else.
    """
    path = folder / COUNTS
    if not path.is_file():
        if (folder / BLOCKS).is_dir():
            raise FileNotFoundError(
                f"{folder} is a set that is not finished: it has {BLOCKS}/ and no {COUNTS}. Type the same command "
                f"again to go on: python -m segfield prepare ocean_density ... out={folder}"
            )
        raise FileNotFoundError(
            f"{folder} is no prepared set of drift densities: it has no {COUNTS}. Make one: "
            f"python -m segfield prepare ocean_density fields=<NetCDF files> out={folder}"
        )
    dataset = _opened(path)
    if missing := [name for name in ("counts", "start", "land") if name not in dataset.variables]:
        dataset.close()
        raise ValueError(f"{path} has no variable {', '.join(missing)}: it is no prepared set of drift densities.")
    return dataset


def field_names(folder: Path) -> list[str]:
    """Return the names of the fields that a prepared set has."""
    return sorted(path.stem for path in (folder / FIELDS).glob("*.nc") if not path.name.startswith("."))


def open_field(folder: Path, name: str) -> "xr.DataArray":
    """Open one field (time, latitude, longitude) lazily.

    Raises:
        ValueError: if the set has no such field; the message names those that it has.
    """
    path = folder / FIELDS / f"{name}.nc"
    if not path.is_file():
        raise ValueError(
            f"{folder} has no field {name!r}, it has {', '.join(field_names(folder)) or 'none'}. Use these, or prepare "
            f"a set of files that hold it."
        )
    dataset = _opened(path)
    if name not in dataset:
        dataset.close()
        raise ValueError(f"{path} has no variable {name!r}: it has {', '.join(map(str, dataset.data_vars))}.")
    return dataset[name]


def _opened(path: Path) -> "xr.Dataset":
    import xarray as xr

    try:
        return xr.open_dataset(path, engine="h5netcdf", cache=False)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} cannot be read: {error}. Restore it, or prepare the set again.") from error


def checked_scale(group: str, of: object, scale: float) -> float:
    """Return what multiplies densities for a network; not above 0 it is a ValueError that names the key."""
    if not 0 < scale < float("inf"):
        name = type(of).__name__.lower()
        raise ValueError(f"{group}={name} needs scale > 0; got {scale}. Use {group}.scale=${{data.density_scale}}.")
    return scale


def protocol(dataset: "xr.Dataset") -> dict[str, Any]:
    """Return the protocol that a set was made by; {} where it does not say."""
    found: dict[str, Any] = json.loads(dataset.attrs.get("protocol", "{}"))
    return found
