"""Units: u, v in m/s, ssh in m, sst in degC, whatever the file has; values that cannot be in the units it states."""

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from segfield.densities import UNITS

_KELVIN = 273.15
_VELOCITY = {"m/s": 1.0, "cm/s": 0.01, "mm/s": 0.001, "km/h": 1 / 3.6, "knots": 1852 / 3600}
_LENGTH = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_FACTORS = {"u": _VELOCITY, "v": _VELOCITY, "ssh": _LENGTH, "sst": {"degC": 1.0, "K": 1.0}}
# Highest magnitude at sea, with room: what is beyond was stored in other units, or stands for a missing value.
_LIMITS = {"u": (-10.0, 10.0), "v": (-10.0, 10.0), "ssh": (-30.0, 30.0), "sst": (-5.0, 50.0)}
_FILLS = (-999.0, 999.0, -9999.0, 9999.0, -99999.0, 99999.0, -32767.0, -32768.0)
_SPELLINGS = {
    r"(m|met(er|re)s?)(/|per)(s|sec|seconds?)|(m|met(er|re)s?)\.?(s|seconds?)(\^|\*\*)?-1": "m/s",
    r"(cm|centimet(er|re)s?)(/|per)(s|sec|seconds?)|(cm|centimet(er|re)s?)\.?(s|seconds?)(\^|\*\*)?-1": "cm/s",
    r"mm/s|mm\.?s(\^|\*\*)?-1": "mm/s",
    r"km/(h|hr|hour)|km\.?h(\^|\*\*)?-1": "km/h",
    r"kt|kts|kn|knots?": "knots",
    r"m|met(er|re)s?": "m",
    r"cm|centimet(er|re)s?": "cm",
    r"mm|millimet(er|re)s?": "mm",
    r"(deg(ree)?s?)?c(elsius)?|\u00b0c": "degC",
    r"(deg(ree)?s?)?k(elvin)?": "K",
}


def spelled(units: str) -> str:
    """Return units in the one spelling that is used here: "m s-1", "meter second-1" are "m/s"; others as they are."""
    plain = re.sub(r"[\s_]+", "", units.lower())
    return next((ours for pattern, ours in _SPELLINGS.items() if re.fullmatch(pattern, plain)), units.strip())


def final_units(field: str, units: str) -> str:
    """Return the units of a field that was converted."""
    return UNITS.get(field, units)


def units_of(field: str, variable: str, found: str, given: Mapping[str, str], file: str) -> str:
    """Return the units to convert from: those given for the field, else those of the file.

    Raises:
        ValueError: if there are none, or none that this field can have; the message says what to type.
    """
    units = spelled(str(given.get(field, found)))
    known = _FACTORS.get(field)
    expected = ", ".join(known) if known else "any, 1 for none"
    example = f"'units={{{field}: {next(iter(known)) if known else 1}}}'"
    if not units:
        raise ValueError(f"{file}: {variable}, taken for {field}, states no units. Say which: {example} ({expected}).")
    if known and units not in known:
        whose = "units were given for" if field in given else f"{file}: {variable}, taken for"
        raise ValueError(
            f"{whose} {field}{':' if field in given else ' is in'} {units!r}; expected one of {expected}. Say which "
            f"units it has: {example}, or take another variable: 'names={{{field}: <variable>}}'"
        )
    return units


def told(field: str, variable: str, units: str, found: str) -> list[str]:
    """Return a sentence where values are converted, or read in other units than the file states."""
    said = []
    if spelled(found) != units:
        said.append(f"{field}: {variable} is read in {units}, as given; its file says {found or 'no units'}.")
    if field in _FACTORS and units != next(iter(_FACTORS[field])):
        said.append(f"{field}: {variable} is converted from {units} to {UNITS[field]}.")
    return said


def converted(field: str, values: npt.NDArray[np.float64], units: str) -> tuple[npt.NDArray[np.float32], int]:
    """Convert values to the field's units.

    Returns:
        The values, and how many were numbers like -9999 that no sea has: they are NaN now.
    """
    low, high = _LIMITS.get(field, (-np.inf, np.inf))
    result = values - _KELVIN if units == "K" and field == "sst" else values * _FACTORS.get(field, {}).get(units, 1.0)
    with np.errstate(invalid="ignore"):
        fills = ((result < low) | (result > high)) & np.isin(values, _FILLS)
    result[fills] = np.nan
    return result.astype(np.float32), int(fills.sum())


def check_values(field: str, variable: str, values: npt.NDArray[np.float32], units: str, file: str) -> None:
    """Raise ValueError where values are beyond what any sea has: they are in other units than was said."""
    low, high = _LIMITS.get(field, (-np.inf, np.inf))
    sea = values[np.isfinite(values)]
    if not sea.size or (sea.min() >= low and sea.max() <= high):
        return
    factors = _FACTORS[field]
    others = [one for one in factors if one != units]
    raise ValueError(
        f"{file}: {variable} in {units} gives {field} of {sea.min():.4g}..{sea.max():.4g} {UNITS[field]}; expected "
        f"{low:g}..{high:g}. It is in other units, or missing values are not declared. Say which units it has: "
        f"'units={{{field}: {others[0]}}}' ({', '.join(factors)})."
    )
