"""Inputs: which fields of the sea a network sees beside the current density, and how each turns with a map of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import final

from segfield.densities import RULES

_KNOWN = {"ssh": "stream", "sst": "scalar"}
# The six sets of the notes, conf/data/inputs/: what a message may offer.
SETS = {
    "uv": ("u", "v"),
    "ssh": ("ssh",),
    "sst_ssh": ("sst", "ssh"),
    "sst_pair": ("sst",),
    "sst_pair_standardised": ("sst",),
    "ssh_sst_standardised": ("ssh", "sst"),
}
# Other names of the same in files of the sea.
_SAME = {
    "u": ("uo", "ugos", "water_u", "uvel", "eastward_sea_water_velocity"),
    "v": ("vo", "vgos", "water_v", "vvel", "northward_sea_water_velocity"),
    "ssh": ("adt", "sla", "zos", "sea_surface_height"),
    "sst": ("analysed_sst", "thetao", "temperature", "sea_surface_temperature"),
}


@final
@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The channels of an image, in order; the current density is one more, the last.

    Args:
        variables: names of fields of the prepared set; one may stand twice, at two offsets.
        in_channels: C of the image; verified, as the configuration takes the network's from it.
        offsets: when each is read, in maps: 0 is the start of the window, 1 its end; None: all 0.
        standardised: the names of those of which the training part's mean is taken off and whose std divides.
        rules: how a variable of your own turns with the map, by name: "scalar", "east" or "north" (of a vector),
            "stream" (a stream function, whose sign a mirror image turns).
    """

    variables: Sequence[str]
    in_channels: int
    offsets: Sequence[int] | None = None
    standardised: Sequence[str] = ()
    rules: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for key, names in (("variables", self.variables), ("standardised", self.standardised)):
            if isinstance(names, str):
                raise ValueError(
                    f"data.inputs.{key}={names} is a word, expected a list. Use data.inputs.{key}=[{names}]."
                )
        if not self.variables:
            raise ValueError("data.inputs.variables is empty. Name some, for example data.inputs.variables=[ssh].")
        count, listed = len(self.variables), ",".join(self.variables)
        if self.offsets is not None and len(self.offsets) != count:
            raise ValueError(
                f"data.inputs.offsets has {len(self.offsets)} numbers, data.inputs.variables=[{listed}] has {count}. "
                f"Use data.inputs.offsets=null, all at the start of a window, or one number per variable."
            )
        if self.in_channels != count + 1:
            raise ValueError(
                f"data.inputs.variables=[{listed}] and the current density are {count + 1} channels, "
                f"data.inputs.in_channels is {self.in_channels}. Use data.inputs.in_channels={count + 1}."
            )
        if len(set(self.channels)) != count:
            raise ValueError(
                f"data.inputs.variables=[{listed}] has the same one twice at the same offset. Give the second "
                "another offset, for example data.inputs.offsets=[0,1], or leave it out."
            )
        for key, given in (("standardised", self.standardised), ("rules", self.rules or {})):
            if others := [name for name in given if name not in self.variables]:
                raise ValueError(
                    f"data.inputs.{key} names {', '.join(others)}, data.inputs.variables=[{listed}] does not. Use "
                    "names of these."
                )
        if wrong := [rule for rule in (self.rules or {}).values() if rule not in RULES]:
            raise ValueError(f"data.inputs.rules: {wrong[0]!r} is none of {', '.join(RULES)}. Use one of these.")

    @property
    def channels(self) -> list[tuple[str, int]]:
        """Return (variable, offset) of each channel but the density's."""
        return list(zip(self.variables, self.offsets or [0] * len(self.variables), strict=True))

    def rule_words(self) -> tuple[str, ...]:
        """Return how each channel turns with the map, one of RULES; the density's is "scalar".

        u and v are a vector only together, offset for offset, and only as they are: a mean taken off one of them would
        turn too.
        """
        at = {name: [offset for other, offset in self.channels if other == name] for name in ("u", "v")}
        vector = at["u"] == at["v"] and not {"u", "v"} & set(self.standardised)
        known = {**_KNOWN, **({"u": "east", "v": "north"} if vector else {}), **(self.rules or {})}
        return (*(known.get(name, "none") for name in self.variables), "scalar")


def unknown(name: str, has: Sequence[str]) -> str:
    """Say that a set has no such field: which it has, which was perhaps meant, which data/inputs they allow."""
    if not has:
        return f"has no field {name!r}, it has none. Restore its folder fields/, or prepare the set again."
    word = name.casefold()
    known = [ours for ours, others in _SAME.items() if word in (ours, *others)]
    near = [ours for ours in known if ours in has] if known else get_close_matches(word, has, n=2)
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    allowed = [option for option, needs in SETS.items() if set(needs) <= set(has)]
    sets = f"data/inputs={' or '.join(allowed)}, or " if allowed else ""
    return (
        f"has no field {name!r}, it has {', '.join(has)}.{guess} Use {sets}data.inputs.variables with names "
        "of these, or prepare a set of files that hold it."
    )
