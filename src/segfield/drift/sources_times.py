"""Times: from any origin to datetime64, and gaps between them."""

import datetime
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from segfield.drift.sources_open import numbers

if TYPE_CHECKING:
    import xarray as xr

Times = npt.NDArray[np.datetime64]
_NAMES = ("time", "time_counter", "ocean_time", "t", "valid_time", "time_instant", "time_centered")
_CALENDARS = ("", "standard", "gregorian", "proleptic_gregorian", "none")
_YEARS = (1678, 2261)  # that datetime64[ns] holds
_STARTS = "time_coverage_start"


def is_time(name: str, attributes: Mapping[str, object]) -> bool:
    """Tell a coordinate of time by its attributes or its name."""
    units = str(attributes.get("units", ""))
    standard = attributes.get("standard_name")
    return standard == "time" or attributes.get("axis") == "T" or " since " in units or name.lower() in _NAMES


def times_of(
    dataset: "xr.Dataset", dims: Sequence[str], given: str | None, file: str
) -> tuple[str | None, Times, list[str]]:
    """Find and decode the times of a variable.

    Args:
        dataset: as the file has it, not decoded.
        dims: of the variable, without those of its map.
        given: units of time that the user gave, "days since 1950-01-01", in the place of the file's.
        file: its name, for messages.

    Returns:
        The dimension of time, or None; the times [T] to the second; what was decided.

    Raises:
        ValueError: if there is no time, or one that is not of this world's calendar; the message says what to do.
    """
    dimension = next((dim for dim in dims if dim in dataset.variables and _is_time(dataset, dim)), None)
    if dimension is None:  # a coordinate of another name, along one of these dimensions
        dimension = next((dim for dim in dims if dim.lower() in _NAMES or _along(dataset, dim)), None)
    if dimension is not None:
        name = dimension if dimension in dataset.variables else _along(dataset, dimension)
        if name:
            return dimension, _decoded(dataset.variables[name], name, given, file), []
        if dataset.sizes[dimension] > 1:
            raise ValueError(
                f"{file}: the dimension {dimension} of {dataset.sizes[dimension]} has no variable that says the times. "
                f"Add one, for example by cdo settaxis,2005-04-01,00:00,1day {file} new.nc"
            )
    scalars = [str(n) for n, v in dataset.variables.items() if v.size == 1 and v.ndim == 0 and str(n).lower() in _NAMES]
    if scalars:
        return dimension, _decoded(dataset.variables[scalars[0]], scalars[0], given, file), []
    return dimension, *_of_attribute(dataset, file)


def _is_time(dataset: "xr.Dataset", name: str) -> bool:
    return is_time(name, dataset.variables[name].attrs)


def _along(dataset: "xr.Dataset", dim: str) -> str | None:
    names = (str(name) for name, variable in dataset.variables.items() if variable.dims == (dim,))
    found = [name for name in names if _is_time(dataset, name)]
    return min(found, key=lambda name: name.lower() not in _NAMES, default=None)


def _of_attribute(dataset: "xr.Dataset", file: str) -> tuple[Times, list[str]]:
    said = str(dataset.attrs.get(_STARTS, ""))
    try:
        moment = datetime.datetime.fromisoformat(said)
    except ValueError:
        found = f"{_STARTS} is {said!r}" if said else f"no {_STARTS} among the global attributes"
        raise ValueError(
            f"{file} does not say its time: it has no coordinate of time, and {found}. Add the date, for example by "
            f"cdo setdate,2016-05-15 {file} new.nc"
        ) from None
    if moment.tzinfo:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    when = np.array([moment], dtype="datetime64[s]").astype("datetime64[ns]")
    return when, [f"{file} has no coordinate of time: its attribute {_STARTS} says {moment:%Y-%m-%d %H:%M}."]


def _decoded(variable: "xr.Variable", name: str, given: str | None, file: str) -> Times:
    import xarray as xr

    units = given or str(variable.attrs.get("units", ""))
    calendar = str(variable.attrs.get("calendar", "")).lower()
    if calendar not in _CALENDARS:
        raise ValueError(
            f"{file}: {name} is in the calendar {calendar!r}, whose days are not those of observations; expected "
            f"standard or gregorian. Convert it, for example by cdo setcalendar,standard {file} new.nc"
        )
    if not re.match(r"\s*(second|sec|s|minute|min|hour|hr|h|day|d|week)s? since ", units):
        raise ValueError(
            f"{file}: {name} has units {units!r}; expected for example 'days since 1950-01-01'. Say which they are: "
            f"'units={{time: days since 1950-01-01}}'"
        )
    values = numbers(variable).reshape(-1)
    if not np.isfinite(values).all():
        raise ValueError(f"{file}: {name} has missing values. Leave the file out, or mend it.")
    raw = xr.Dataset({"when": ("n", values, {"units": units, "calendar": calendar or "standard"})})
    try:
        with warnings.catch_warnings():
            # Years without zeros in front, and dates that are refused below.
            warnings.simplefilter("ignore", xr.SerializationWarning)
            when = xr.decode_cf(raw)["when"].values.astype("datetime64[us]")
    except (ValueError, OverflowError, TypeError) as error:
        raise ValueError(
            f"{file}: {name} in {units!r} cannot be read as dates. Say since when it counts: "
            "'units={time: days since 1950-01-01}'"
        ) from error
    years = when.astype("datetime64[Y]").astype(int) + 1970
    if years.size and not (years.min() >= _YEARS[0] and years.max() <= _YEARS[1]):  # nanoseconds would wrap around
        raise ValueError(
            f"{file}: {name} in {units!r} gives the years {years.min()} .. {years.max()}; expected {_YEARS[0]} .. "
            f"{_YEARS[1]}. Say since when it counts: 'units={{time: days since 1950-01-01}}'"
        )
    half = np.timedelta64(500, "ms")  # days as float32 are seconds off: whole seconds
    rounded: Times = (when + half).astype("datetime64[s]").astype("datetime64[ns]")
    return rounded


def gaps(time: Times) -> list[tuple[np.datetime64, np.datetime64]]:
    """Return the stretches (from, to) between neighbouring times that are longer than 1.5 times the usual step."""
    if len(time) < 3:
        return []
    steps = np.diff(time).astype("timedelta64[s]").astype(np.int64)
    usual = np.sort(steps)[(len(steps) - 1) // 2]  # the lower median: of two steps the shorter one
    return [(time[i], time[i + 1]) for i in np.flatnonzero(steps > 1.5 * usual)]


def minute(when: np.datetime64) -> str:
    """Write a time to the minute: 2005-04-01 12:00."""
    return str(when.astype("datetime64[m]")).replace("T", " ")
