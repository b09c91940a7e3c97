"""How a set of drift densities is made: all that the command takes, checked. The defaults are ML-Drop's protocol.

Degrees are north and east, as the fields count them after sources.py; a box across 180 E is written [S,N,175,185].
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

Currents = Literal["auto", "uv", "ssh"]
CURRENTS = get_args(Currents)
MOST_PARTICLES = 65535  # counts are uint16
MOST_CELLS = 5000  # per degree: positions are kept in single precision, to 2 m at worst
_WHOLE = {"ensembles": 1, "particles": 1, "resolution": 1, "seed": 0, "block": 1}  # the least of each
_EXAMPLES = {"box": "[37.89,38.89,2.71,3.71]", "region": "[37,40,1,5]"}

Rectangle = tuple[float, float, float, float]  # south, north, west, east


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is released where, how it is advected, and what is counted.

    Args:
        box: [south, north, west, east] in degrees, in which the centres of release are drawn.
        points: [[latitude, longitude], ...] of the centres, taken in turn, in place of drawn ones; they lie in the box.
        ensembles: number of samples.
        particles: of each ensemble, at most 65535.
        radius_km: of the disc in which they are released, uniformly over its sea.
        dt_hours: step of the Runge-Kutta integration of fourth order; it divides every_hours.
        days: that they drift.
        every_hours: between two maps; it divides the days.
        resolution: cells per degree, at most 5000. They start at whole multiples of 1/resolution: sets share cells.
        margin: degrees around the box in which particles move, as far as the fields reach.
        region: [south, north, west, east] that is counted: what leaves it leaves the mass. None: the smallest one that
            holds all particles, and a cell around it. One that is wider than the margin widens where they move.
        currents: auto, uv or ssh.
        seed: an ensemble is a function of (seed, its number).
        block: ensembles that are advected together; it bounds the memory and changes no count.

    Raises:
        ValueError: if a value is out of range; the message says what to type.
    """

    box: Rectangle = (37.89, 38.89, 2.71, 3.71)
    points: tuple[tuple[float, float], ...] | None = None
    ensembles: int = 1000
    particles: int = 2000
    radius_km: float = 5.0
    dt_hours: float = 3.0
    days: float = 3.0
    every_hours: float = 6.0
    resolution: int = 48
    margin: float = 2.0
    region: Rectangle | None = None
    currents: Currents = "auto"
    seed: int = 0
    block: int = 40

    def __post_init__(self) -> None:
        """Check every value."""
        self._check_numbers()
        self._check_clock()
        object.__setattr__(self, "box", _rectangle("box", self.box))
        if self.region is not None:
            object.__setattr__(self, "region", _rectangle("region", self.region))
            if not _holds(self.region, self.box):
                raise ValueError(
                    f"region={list(self.region)} does not hold box={list(self.box)}, in which particles are released. "
                    "Use a larger region, a smaller box, or region=null."
                )
        if self.points is not None:
            object.__setattr__(self, "points", self._checked_points(self.points))
        if self.currents not in CURRENTS:
            raise ValueError(f"currents={self.currents}: expected one of {', '.join(CURRENTS)}.")

    def _check_numbers(self) -> None:
        for name, least in _WHOLE.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(f"{name}={value} must be a whole number, {least} or more.")
        if self.particles > MOST_PARTICLES:
            raise ValueError(
                f"particles={self.particles} must be at most {MOST_PARTICLES}: counts are written in 16 bits. "
                f"Use particles={MOST_PARTICLES}, and more ensembles."
            )
        if self.resolution > MOST_CELLS:
            raise ValueError(
                f"resolution={self.resolution} must be at most {MOST_CELLS} cells per degree: positions are known to "
                "about 2 m. Use for example resolution=48."
            )
        for name in ("radius_km", "dt_hours", "days", "every_hours", "margin"):
            value = getattr(self, name)
            if not _is_number(value) or value < 0 or (value == 0 and name != "margin"):
                raise ValueError(f"{name}={value} must be a number above 0{' or 0' if name == 'margin' else ''}.")
            object.__setattr__(self, name, float(value))

    def _check_clock(self) -> None:
        for name in ("dt_hours", "every_hours", "days"):
            hours = getattr(self, name) * (24 if name == "days" else 1)
            if not _divides(1.0, hours * 3600):
                raise ValueError(f"{name}={getattr(self, name):g} must be whole seconds.")
        if not _divides(self.dt_hours, self.every_hours):
            raise ValueError(
                f"dt_hours={self.dt_hours:g} does not divide every_hours={self.every_hours:g}: a map needs particles "
                f"at its very time. Use for example dt_hours={self.every_hours / 2:g}."
            )
        if not _divides(self.every_hours, self.days * 24):
            raise ValueError(
                f"every_hours={self.every_hours:g} does not divide days={self.days:g}, which are {self.days * 24:g} "
                f"hours. Use for example every_hours={self.days * 2:g}."
            )

    def _checked_points(self, points: Any) -> tuple[tuple[float, float], ...]:
        pairs = points if isinstance(points, list | tuple) else []
        if not pairs or any(
            not isinstance(pair, list | tuple) or len(pair) != 2 or not all(map(_is_number, pair)) for pair in pairs
        ):
            raise ValueError(
                f"points={points} must be [[latitude,longitude],...]. Use for example points=[[38.4,3.2]]."
            )
        found = tuple((float(latitude), float(longitude)) for latitude, longitude in pairs)
        for latitude, longitude in found:
            if not _holds(self.box, (latitude, latitude, longitude, longitude)):
                sides = [min(p[0] for p in found), max(p[0] for p in found)]
                sides += [min(p[1] for p in found), max(p[1] for p in found)]
                needed = ",".join(f"{side + (0.1 if place % 2 else -0.1):.6g}" for place, side in enumerate(sides))
                raise ValueError(
                    f"points=[[{latitude:g},{longitude:g}]] lies outside of box={list(self.box)}. "
                    f"Use box=[{needed}], which holds all your points."
                )
        return found

    @property
    def dt(self) -> int:
        """Return the step in seconds."""
        return round(self.dt_hours * 3600)

    @property
    def every(self) -> int:
        """Return the seconds between two maps."""
        return round(self.every_hours * 3600)

    @property
    def seconds(self) -> int:
        """Return how long particles drift."""
        return round(self.days * 86400)

    @property
    def steps(self) -> int:
        """Return the number of steps of an ensemble."""
        return self.seconds // self.dt

    @property
    def hours(self) -> list[float]:
        """Return the lead times of the maps, 0 first."""
        return [number * self.every_hours for number in range(self.seconds // self.every + 1)]

    @property
    def area(self) -> Rectangle:
        """Return where particles move, as far as fields reach: the box, the margin around it, and the region."""
        south, north, west, east = self.box
        counted = self.region or self.box
        return (
            max(min(south - self.margin, counted[0]), -90.0),
            min(max(north + self.margin, counted[1]), 90.0),
            min(west - self.margin, counted[2]),
            max(east + self.margin, counted[3]),
        )

    def to_json(self) -> dict[str, Any]:
        """Return all values as JSON has them: lists for tuples."""
        found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return found

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the protocol of values by key.

        Raises:
            ValueError: if a key is unknown, or a value is refused.
        """
        if unknown := sorted(set(values) - set(KEYS)):
            raise ValueError(f"unknown key {unknown[0]!r}: expected {', '.join(KEYS)}.")
        return cls(**values)


KEYS = tuple(field.name for field in dataclasses.fields(Protocol))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _divides(part: float, whole: float) -> bool:
    times = whole / part
    return round(times) >= 1 and abs(times - round(times)) < 1e-9 * max(1.0, times)


def _holds(outer: tuple[float, ...], inner: tuple[float, ...]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1] and outer[2] <= inner[2] and inner[3] <= outer[3]


def _rectangle(name: str, value: Any) -> Rectangle:
    """Return four numbers that are a rectangle of the globe."""
    wrong = not isinstance(value, list | tuple) or len(value) != 4 or not all(map(_is_number, value))
    if not wrong:
        south, north, west, east = map(float, value)
        if -90 <= south < north <= 90 and -360 <= west < east <= 540 and east - west <= 360:
            return south, north, west, east
    raise ValueError(
        f"{name}={value if wrong else list(value)} must be [south,north,west,east] in degrees, south below north and "
        f"west below east (across 180 E: 175,185). Use for example {name}={_EXAMPLES[name]}."
    )
