"""What a prepared set of drift densities holds, and what of it would make training wrong: `audit data=ocean_density`.

Every count is read once, some ensembles at a time. Pictures and masks have another audit, data/audit/.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segfield import densities
from segfield.files import write_text
from segfield.run.bar import Tick, bar

if TYPE_CHECKING:
    import xarray as xr

    from segfield.data.ocean_density import OceanDensity

_BLOCK = 64  # MiB of counts that are read at once
_FEW = 0.9  # share of the particles inside, below which a set deserves a look
_EVERY = 24.0  # hours between the shares that are shown
_HOUR = np.timedelta64(1, "h")
Rows = Sequence[tuple[str, str, str]]  # id, group, part of every window


def audit(data: "OceanDensity", folder: Path, facts: dict[str, Any]) -> int:
    """Show what a set holds, and write audit.json to the folder, with further facts.

    Returns:
        0: training can start; 1: the list on stderr says what would make it wrong.

    Raises:
        OSError: if the folder cannot be written.
    """
    errors: list[str] = []
    warnings: list[str] = []
    split: Rows = ()
    try:
        data.setup()
        split = data.split_table()
    except (OSError, ValueError) as error:
        errors.append(str(error))
    try:
        with bar("reading") as tick:
            found, wrong, warnings = describe(Path(str(data.root)), split, tick)
        facts, errors = {**facts, **found}, [*errors, *wrong]
        sys.stdout.write("".join(f"{name:<22}{text}\n" for name, text in table(found)))
    except (OSError, ValueError) as error:
        errors = errors or [str(error)]  # a set that cannot be read has been told of already
    for header, lines in (("Worth a look:", warnings), ("This would make training wrong:", errors)):
        if lines:
            sys.stderr.write("\n- ".join([header, *lines]) + "\n")
    text = json.dumps({**facts, "errors": errors, "warnings": warnings}, indent=1, default=str) + "\n"
    write_text(folder / "audit.json", text)
    sys.stdout.write(f"wrote {folder / 'audit.json'}\n")
    return 1 if errors else 0


def describe(root: Path, split: Rows, tick: Tick) -> tuple[dict[str, Any], list[str], list[str]]:
    """Read a set through.

    Args:
        root: folder of the set.
        split: as split_table() gives it; the groups are numbers of ensembles.
        tick: called with the number of ensembles that are done, and of all.

    Returns:
        Facts for JSON, errors, warnings.

    Raises:
        FileNotFoundError: if there is no set, or it is not finished.
        ValueError: if a file of it is damaged.
    """
    with densities.open_counts(root) as counts:
        inside, wrong = _inside(counts, tick)
        hours, start = counts["time"].values.astype(float), counts["start"].values
        latitude, longitude = counts["latitude"].values, counts["longitude"].values
        step = np.array([latitude[1] - latitude[0], longitude[1] - longitude[0]])
        km = step * densities.KM_PER_DEGREE * np.array([1.0, np.cos(np.radians(latitude.mean()))])
        facts: dict[str, Any] = {
            "ensembles": len(start),
            "particles": int(counts.attrs["particles"]),
            "hours": hours.tolist(),
            "cells": [len(latitude), len(longitude)],
            "latitude": [float(latitude[0]), float(latitude[-1])],
            "longitude": [float(longitude[0]), float(longitude[-1])],
            "cell_km": km.round(3).tolist(),
            "land": float(counts["land"].values.mean()),
            "released": [str(start.min())[:16], str(start.max())[:16]],
            "inside": inside.mean(axis=0).round(4).tolist(),
            "inside_least": inside.min(axis=0).round(4).tolist(),
            "protocol": densities.protocol(counts),
        }
    facts["fields"] = {name: _field(root, name) for name in densities.field_names(root)}
    facts["parts"] = _parts(split, start, hours)
    few = [f"{hour:g} h" for hour, share in zip(hours, facts["inside"], strict=True) if share < _FEW]
    warnings = []
    if few:
        warnings.append(
            f"fewer than {_FEW:.0%} of the particles are inside at {', '.join(few)}: a search there would miss them. "
            "Prepare a larger region, or shorter drifts."
        )
    return facts, [f"{root / densities.COUNTS}: {text}" for text in wrong], warnings


def _inside(counts: "xr.Dataset", tick: Tick) -> tuple[np.ndarray, list[str]]:
    """Return the share of each ensemble's particles in the region at each time [S, T], and what cannot be."""
    samples, times, height, width = counts["counts"].shape
    block = max(1, _BLOCK * 2**20 // (times * height * width * 2))
    sea, particles = counts["land"].values == 0, int(counts.attrs["particles"])
    shares, many, ashore = [], [], []
    for first in range(0, samples, block):
        here = slice(first, first + block)
        values = counts["counts"][here].values.astype(np.int64)
        total = values.sum(axis=(2, 3))
        many += (first + np.flatnonzero((total > particles).any(axis=1))).tolist()
        ashore += (first + np.flatnonzero((values[:, :, ~sea] > 0).any(axis=(1, 2)))).tolist()
        shares.append(total / particles)
        tick(min(first + block, samples), samples)
    wrong = []
    if many:
        wrong.append(f"{len(many)} ensembles hold more than {particles} particles, the first is {many[0]:05d}.")
    if ashore:
        wrong.append(f"{len(ashore)} ensembles have particles on land, the first is {ashore[0]:05d}.")
    inside = np.concatenate(shares)
    if empty := np.flatnonzero(inside[:, 0] == 0).tolist():
        wrong.append(f"{len(empty)} ensembles have no particle at the release, the first is {empty[0]:05d}.")
    return inside, [f"{text} Prepare the set again." for text in wrong]


def _field(root: Path, name: str) -> dict[str, Any]:
    field = densities.open_field(root, name)
    try:
        time = field["time"].values
        steps = np.diff(time) / _HOUR
        return {
            "units": str(field.attrs.get("units", "")),
            "cells": list(field.shape[1:]),
            "times": len(time),
            "from": str(time[0])[:16],
            "to": str(time[-1])[:16],
            "hours_apart": sorted({float(step) for step in steps.round(2)}),
        }
    finally:
        field.close()


def _parts(split: Rows, start: np.ndarray, hours: np.ndarray) -> dict[str, dict[str, Any]]:
    """Describe the parts in the order of time; `gap_hours` from the end of the one before to the first release."""
    found = {}
    for part in sorted({part for _, _, part in split}):
        ensembles = sorted({int(group) for _, group, name in split if name == part})
        windows = sum(name == part for _, _, name in split)
        found[part] = (start[ensembles].min(), start[ensembles].max(), len(ensembles), windows)
    facts, end = {}, None
    for part, (first, last, members, windows) in sorted(found.items(), key=lambda one: one[1][0]):
        facts[part] = {
            "ensembles": members,
            "windows": windows,
            "from": str(first)[:16],
            "to": str(last)[:16],
            "gap_hours": None if end is None else float((first - end) / _HOUR),
        }
        end = last + np.timedelta64(round(hours[-1] * 3600), "s")
    return facts


def table(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield names and texts of what is shown on the terminal."""
    hours, (rows, columns), (north, east) = facts["hours"], facts["cells"], facts["cell_km"]
    yield "ensembles", f"{facts['ensembles']:,} of {facts['particles']:,} particles"
    yield "released", "{} to {}".format(*facts["released"])
    yield "maps", f"{len(hours)}, from {hours[0]:g} to {hours[-1]:g} h after the release"
    place = "{:.3f} to {:.3f} N, {:.3f} to {:.3f} E".format(*facts["latitude"], *facts["longitude"])
    yield "region", f"{rows}x{columns} cells of {north:.2f}x{east:.2f} km, {place}, {facts['land']:.1%} land"
    shown = [place for place, hour in enumerate(hours) if hour % _EVERY == 0 or place == len(hours) - 1]
    yield "inside", ", ".join(f"{facts['inside'][place]:.1%} at {hours[place]:g} h" for place in shown)
    yield "  least", ", ".join(f"{facts['inside_least'][place]:.1%} at {hours[place]:g} h" for place in shown)
    for name, one in facts["fields"].items():
        apart = " or ".join(f"{step:g}" for step in one["hours_apart"]) or "-"
        grid = "{}x{}".format(*one["cells"])
        times = f"{one['times']} times {apart} h apart, {one['from']} to {one['to']}"
        yield f"field {name}", f"{one['units'] or 'no units'}, {grid}, {times}"
    for part, one in facts["parts"].items():
        gap = "" if one["gap_hours"] is None else f", {one['gap_hours']:g} h after the part before has ended"
        text = f"{one['windows']:,} windows of {one['ensembles']:,} ensembles, released {one['from']} to {one['to']}"
        yield f"part {part}", text + gap
    for name, value in facts["protocol"].items():
        yield f"protocol {name}", json.dumps(value)
