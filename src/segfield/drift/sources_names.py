"""Which variable of a file is u, v, ssh, sst: by standard_name first, then by the names that are in use.

The order of preference: standard names, names, eastward_* and northward_* velocities of any kind, and last anomalies
(sla, ugosa), which lack the mean circulation. What the user names goes before all.
"""

import difflib
import re
from collections.abc import Mapping, Sequence

KNOWN = ("u", "v", "ssh", "sst")
_COORDINATES = ("time", "latitude", "longitude")
_EAST = (
    "eastward_sea_water_velocity",
    "surface_eastward_sea_water_velocity",
    "sea_water_x_velocity",
    "surface_sea_water_x_velocity",
    "geostrophic_eastward_sea_water_velocity",
    "surface_geostrophic_eastward_sea_water_velocity",
    "surface_geostrophic_sea_water_x_velocity",
)
_STANDARD = {
    "u": _EAST,
    "v": tuple(name.replace("eastward", "northward").replace("_x_", "_y_") for name in _EAST),
    "ssh": ("sea_surface_height_above_geoid", "sea_surface_height", "sea_surface_elevation"),
    "sst": (
        "sea_surface_temperature",
        "sea_surface_foundation_temperature",
        "sea_surface_subskin_temperature",
        "sea_surface_skin_temperature",
        "sea_water_potential_temperature",
        "sea_water_conservative_temperature",
        "sea_water_temperature",
    ),
}
_NAMES = {
    "u": ("u", "uo", "uos", "uvel", "ugos", "vozocrtx", "sozocrtx", "water_u", "u_surf", "ssu", "u_eastward"),
    "v": ("v", "vo", "vos", "vvel", "vgos", "vomecrty", "somecrty", "water_v", "v_surf", "ssv", "v_northward"),
    "ssh": ("adt", "zos", "ssh", "sossheig", "surf_el", "zeta", "eta", "sea_surface_height"),
    "sst": ("analysed_sst", "sst", "thetao", "tos", "sosstsst", "votemper", "water_temp", "temperature", "temp"),
}
_ANY = {"u": r"eastward_.*(velocity|current)", "v": r"northward_.*(velocity|current)"}
_ANOMALIES = {"u": r"ugosa$", "v": r"vgosa$", "ssh": r"(m?sla|ssha)$|sea_level_anomaly"}
_ABOVE_MEAN = r"above_(mean_)?sea_level|assuming_(mean_)?sea_level"  # standard names of anomalies
_NOT_OF_WATER = r"wind|stokes|sea_ice|stress|error|uncertainty|air[_ ]temp"

Rank = tuple[int, int, int, str]


def rank(field: str, name: str, standard_name: str = "", long_name: str = "") -> Rank | None:
    """Return how well a variable fits a field, the best is the smallest; None where it does not."""
    if field not in KNOWN or re.search(_NOT_OF_WATER, f"{name} {standard_name} {long_name}".lower()):
        return None
    lower, standards, names = name.lower(), _STANDARD[field], _NAMES[field]
    place = names.index(lower) if lower in names else len(names)
    anomaly = _ANOMALIES.get(field)
    # A standard name that belongs to this field and says that it is an anomaly, or a name that does.
    if anomaly and re.match(anomaly, lower):
        return (3, 0, place, name)
    if re.search(_ABOVE_MEAN, standard_name):
        stem = re.sub(r"_?(assuming|above)_(mean_)?sea_level.*", "", standard_name)
        return (3, 1, place, name) if any(one.startswith(stem) for one in standards) else None
    if standard_name in standards:
        return (0, standards.index(standard_name), place, name)
    if place < len(names):
        return (1, place, 0, name)
    if field in _ANY and re.search(_ANY[field], f"{lower} {standard_name}"):
        return (2, 0, 0, name)
    return None


def likely(field: str, names: Sequence[str]) -> list[str]:
    """Return up to three variables that may be what is looked for, the likeliest first."""
    known = (field, *_NAMES.get(field, ()), *_STANDARD.get(field, ()))

    def resemblance(name: str) -> float:
        """Return how much a name is like one of those known, in [0, 1]."""
        return max(difflib.SequenceMatcher(None, name.lower(), one.lower()).ratio() for one in known)

    near = sorted((name for name in names if resemblance(name) >= 0.55), key=resemblance, reverse=True)
    return near[:3]


def missing(field: str, names: Sequence[str], asked: str | None = None) -> str:
    """Return the message for a field that no file holds."""
    near = likely(asked or field, names) or likely(field, names)
    what = f"No file holds {field}" if asked is None else f"No file holds the variable {asked!r}, named as {field}"
    maybe = f"; likely {' or '.join(near)}" if near else ""
    return (
        f"{what}. The files hold {', '.join(names) or 'no variable on a map'}{maybe}. Say which one it is: "
        f"'names={{{field}: {near[0] if near else '<variable>'}}}', or give files that hold it."
    )


def nothing(names: Sequence[str]) -> str:
    """Return the message for files of which no variable is known."""
    guesses = ((field, next(iter(likely(field, names)), "")) for field in KNOWN)
    example = ", ".join(f"{field}: {guess}" for field, guess in guesses if guess) or "u: <variable>, v: <variable>"
    return (
        f"The files hold no u, v, ssh or sst that is known by its name; they hold "
        f"{', '.join(names) or 'no variable on a map'}. Say which is which: 'names={{{example}}}'"
    )


def check_names(names: Mapping[str, str]) -> None:
    """Raise ValueError where a name of the user's own cannot be the name of a field."""
    for field, variable in names.items():
        if not isinstance(field, str) or not re.fullmatch(r"[A-Za-z]\w*", field) or field in _COORDINATES:
            raise ValueError(
                f"names has {field!r}: expected u, v, ssh, sst or a word of your own in letters, digits and _, not "
                f"{', '.join(_COORDINATES)}. For example 'names={{u: uo, chlorophyll: CHL}}'"
            )
        if not isinstance(variable, str) or not variable:
            raise ValueError(f"names has {field}: {variable!r}, expected a variable's name: 'names={{{field}: uo}}'")
