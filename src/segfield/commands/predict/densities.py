"""`segfield predict <run> point=[lat,lon] start=<time>`: where an object may be that was lost at sea."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from segfield.commands.predict.words import split

if TYPE_CHECKING:
    from segfield.run.forecast import Forecast

SETTINGS = ("point", "start", "hours", "radius_km", "out")
_YEARS = range(1678, 2262)  # of NumPy's nanoseconds
EXAMPLE = "point=[38.4,3.2] start=2005-06-01T00:00"
USAGE = """usage: python -m segfield predict <run> point=[lat,lon] start=2005-06-01T00:00 [hours=72] [radius_km=5]
                                  [out=<folder>] [data.root=<set>] [placement key=value ...]
  Of a run that predicts densities: where an object may be that was lost within radius_km of a point
  start: UTC; the fields of the set last from there for `hours`, a multiple of the network's step
  out: of density.nc, forecast.csv and forecast.png; default: forecasts/<point and start> of the run
  data.root: a prepared set whose fields and cells are used; default: the run's own
"""


def parsed(arguments: list[str]) -> Callable[[], int]:
    """Return the work that is asked for, which returns 0.

    Raises:
        ValueError: for a wrong call.
    """
    folder, settings, placement = _parsed(arguments)
    point, start = _point(settings["point"]), _start(settings["start"])
    numbers = {name: _number(name, settings[name]) for name in ("hours", "radius_km") if name in settings}
    out = Path(settings["out"]).expanduser() if "out" in settings else None

    def work() -> int:
        """Predict and tell what came of it."""
        import numpy as np

        from segfield.run.forecast import Asked, forecast  # imports torch

        found = forecast(folder, Asked(point=point, start=np.datetime64(start, "ns"), **numbers), out, placement)
        sys.stdout.write("\n".join(_told(found)) + "\n")
        return 0

    return work


def _told(found: "Forecast") -> list[str]:
    last = found.rows[-1]
    after = f"after {last['hours']} hours, {last['time'].replace('T', ' ')} UTC"
    lines = [f"{after}: no mass is left in the region"]
    if last["latitude"]:
        at = f"[{float(last['latitude']):.4f},{float(last['longitude']):.4f}]"
        sizes = [f"{float(last[name]):.0f} km2" for name in ("km2_50", "km2_90")]
        lines = [
            f"{after}: the centre is at {at}, {float(last['drift_km']):.1f} km from that of the start",
            f"half of the mass is in {sizes[0]}, 90 % in {sizes[1]}; {float(last['mass']):.1%} is in the region",
        ]
    return [*lines, *found.notes, found.skill, f"{'done already' if found.before else 'written'}: {found.out}"]


def _parsed(arguments: Sequence[str]) -> tuple[Path, dict[str, str], list[str]]:
    """Return run, settings by name, placement."""
    words, settings, placement = split(arguments, SETTINGS, _stranger)
    if not words:
        raise ValueError(f"Expected a run folder. Type for example: python -m segfield predict <run> {EXAMPLE}")
    if len(words) > 1:
        raise ValueError(
            f"{words[1]}: {words[0]} predicts densities from fields of the sea, no masks of images. Type for example: "
            f"python -m segfield predict {words[0]} {EXAMPLE}"
        )
    if lacking := [name for name in ("point", "start") if not settings.get(name)]:
        raise ValueError(
            f"Expected {' and '.join(f'{name}=' for name in lacking)}: where and when the object was lost. Type for "
            f"example: python -m segfield predict {words[0]} {EXAMPLE}"
        )
    return words[0], settings, placement


def _stranger(word: str, hint: str) -> str:
    return (
        f"{word} is no setting of a run that predicts densities{hint}. Settings are {', '.join(SETTINGS)} and "
        "placement keys; what is computed is frozen in the run."
    )


def _point(text: str) -> tuple[float, float]:
    try:
        latitude, longitude = (float(one) for one in json.loads(text))
    except (ValueError, TypeError):
        latitude = longitude = math.nan
    if abs(latitude) <= 90 and abs(longitude) <= 540:  # false of NaN
        return latitude, longitude
    raise ValueError(
        f"point={text}: expected [latitude,longitude] in degrees north and east. Use for example point=[38.4,3.2]."
    )


def _start(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        found = datetime.min
    if found.year in _YEARS:
        return found
    raise ValueError(f"start={text}: expected a time in UTC. Use for example start=2005-06-01T00:00.")


def _number(name: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if 0 < found < math.inf:
        return found
    raise ValueError(
        f"{name}={text}: expected a number above 0. Use for example {name}={'72' if name == 'hours' else '5'}."
    )
