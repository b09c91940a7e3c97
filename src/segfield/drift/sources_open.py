"""NetCDF files of any origin, opened by what they are and not by their names; their values as numbers.

xarray reads NetCDF 4 by h5netcdf and NetCDF 3 by scipy. Attributes come with CF's spelling (`Unit` is `units`).
"""

import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import xarray as xr

_HDF5, _POINTER = b"\x89HDF\r\n\x1a\n", b"version https://git-lfs"
_ENGINES = {b"CDF\x01": "scipy", b"CDF\x02": "scipy"}
_UNITS = ("Unit", "Units", "unit", "UNITS")
_PACKING = ("scale_factor", "add_offset")
_HIGHEST = 1e15  # what is beyond is a fill value that the file does not declare: 1e20, 9.97e36


@contextlib.contextmanager
def opened(path: Path) -> Iterator["xr.Dataset"]:
    """Open a file lazily; nothing is decoded.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no NetCDF, or damaged; the message says what was found and what to do.
    """
    import xarray as xr

    engine = _engine(path)
    try:
        # Dimensions without a name are named by h5netcdf, which warns where it is not told how.
        named: dict[str, Any] = {"phony_dims": "access"} if engine == "h5netcdf" else {}
        dataset = xr.open_dataset(path, engine=engine, decode_cf=False, cache=False, **named)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be read: {error}. It may be cut short: fetch it again.") from error
    with dataset, _naming(path):
        for variable in dataset.variables.values():
            spelled = next((word for word in _UNITS if word in variable.attrs), None)
            if "units" not in variable.attrs and spelled:
                variable.attrs["units"] = variable.attrs[spelled]
            for key in _PACKING:
                if isinstance(said := variable.attrs.get(key), str):
                    variable.attrs[key] = _number(path, key, said)
        yield dataset


def _number(path: Path, key: str, said: str) -> float:
    """Read a number that a file has as a text."""
    try:
        return float(said)
    except ValueError as error:
        mend = f"Mend it, for example by ncatted -a {key},<variable>,o,d,<number> {path.name}"
        raise ValueError(f"{path}: {key} is {said!r}, expected a number. {mend}") from error


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file it is whose values cannot be read."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}. It may be cut short: fetch it again.") from error


def _engine(path: Path) -> str:
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "is not there"
        raise FileNotFoundError(f"{path} {what}. Give NetCDF files: 'fields=<folder>/*.nc'")
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(_HDF5):
        return "h5netcdf"
    if start[:4] in _ENGINES:
        return _ENGINES[start[:4]]
    if start.startswith(_POINTER):
        raise ValueError(f"{path} is a Git LFS pointer, not the data. Fetch it with `git lfs pull`.")
    if start.startswith(b"CDF"):
        raise ValueError(f"{path} is NetCDF of the form {start[:4]!r}. Convert it: nccopy -k nc4 {path.name} new.nc")
    raise ValueError(
        f"{path} is no NetCDF file: it begins with {start[:24]!r}. Leave it out, or convert it, for example by "
        f"cdo -f nc4 copy {path.name} new.nc"
    )


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def numbers(variable: "xr.Variable") -> npt.NDArray[np.float64]:
    """Read a variable, or a part of one, as numbers: unpacked, NaN where missing.

    Missing is what _FillValue and missing_value say, else NetCDF's own fill value of packed integers, and what is
    beyond 1e15 in any file.
    """
    import xarray as xr

    attributes: dict[str, Any] = dict(variable.attrs)
    for key in ("_FillValue", "missing_value"):  # a text, or NaN for integers, is no fill value
        fill = np.asarray(attributes.get(key, 0))
        if fill.dtype.kind not in "iuf" or (variable.dtype.kind in "iu" and not np.isfinite(fill).all()):
            del attributes[key]
    packed = variable.dtype.kind == "i" and variable.dtype.itemsize > 1
    if packed and not {"_FillValue", "missing_value"} & set(attributes):
        attributes["_FillValue"] = variable.dtype.type(np.iinfo(variable.dtype).min + 1)
    raw = xr.Dataset({"values": (variable.dims, variable.values, attributes)})
    with warnings.catch_warnings():
        # _FillValue and missing_value may differ: both are missing.
        warnings.simplefilter("ignore", xr.SerializationWarning)
        dataset = xr.decode_cf(raw, decode_times=False, decode_coords=False, decode_timedelta=False)
        values = np.asarray(dataset["values"].values)
    values = values.astype(np.float64)
    with np.errstate(invalid="ignore"):
        values[np.abs(values) > _HIGHEST] = np.nan
    return values
