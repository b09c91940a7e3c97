"""The verdict on a rerun: bit-equal, equal within tolerance, differs, or not comparable; with what drifted beside it.

Bits are promised for the same code, packages, threads, processor capability, devices and data. Where one of these
drifted, the final scores of the validation are compared within a tolerance instead.
"""

import csv
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segfield.data import fingerprint
from segfield.run.environment import read_environment
from segfield.run.weights import NAME as DIGESTS
from segfield.run.weights import read_digests

BIT_EQUAL, WITHIN, DIFFERS = "bit-equal", "equal within tolerance", "differs"
NOT_COMPARABLE = "not comparable"
TOLERANCE = 0.01
# A commit that leaves the package's source as it is explains no difference.
_EXPLAINS_NOTHING = ("commit", "uncommitted changes")


class NotComparableError(ValueError):
    """There is nothing to compare: a run that has not ended, a file that is missing, data that is gone."""


def compare(parent: Path, run: Path, changed: dict[str, tuple[Any, Any]], tolerance: float) -> dict[str, Any]:
    """Compare two finished runs.

    Args:
        parent: run folder, or saved experiment.
        run: folder of the rerun.
        changed: {key: (parent's, run's)} of the configuration, placement aside.
        tolerance: largest difference of a final validation score that still counts as equal.

    Returns:
        verdict, text, and what it rests on; plain values.

    Raises:
        NotComparableError: if one of the two lacks what is compared.
    """
    drifted, data = _drifted(read_environment(parent), read_environment(run)), _data(parent, run)
    final = _final(parent, run)
    for folder in (parent, run):
        if not read_digests(folder):
            raise NotComparableError(f"{folder} has no {DIGESTS}: only a run that has ended can be compared.")
    first = next(_differences(parent, run), None)
    beyond = {name: values for name, values in final.items() if not _close(*values, tolerance)}
    explained = bool(changed or data) or any(name not in _EXPLAINS_NOTHING for name in drifted)
    if first is None and not changed:
        kind, text = BIT_EQUAL, "losses, metrics and weights are the same to the last bit"
    elif explained and not beyond:
        kind, text = WITHIN, f"every final validation score is within {tolerance:g}"
    elif explained:
        name, (one, other) = next(iter(beyond.items()))
        kind, text = DIFFERS, f"differs in the final {name}: {one:g} against {other:g}, more than {tolerance:g} apart"
    else:
        kind, text = DIFFERS, f"differs from {first}"
    return {
        "verdict": kind,
        "text": text,
        "parent": str(parent),
        "run": str(run),
        "tolerance": tolerance,
        "first_difference": None if changed else first,
        "final": {name: {"parent": one, "run": other} for name, (one, other) in final.items()},
        "changed": {key: {"parent": old, "run": new} for key, (old, new) in changed.items()},
        "drifted": {name: {"parent": old, "run": new} for name, (old, new) in drifted.items()},
        "drifted_data": data,
    }


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    path = folder / name
    if not path.exists():
        raise NotComparableError(f"{folder} has no {name}: only a run that has ended can be compared.")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or None in rows[-1] or None in rows[-1].values():
        raise NotComparableError(f"{path} has no complete row: there is nothing to compare.")
    return rows


def _differences(parent: Path, run: Path) -> Iterator[str]:
    """Name the places where two runs part: steps first, then epochs' scores, then what they ended with."""
    for a, b in itertools.zip_longest(_rows(parent, "trace.csv"), _rows(run, "trace.csv")):
        if a is None or b is None:
            row, who = (a, "the rerun") if b is None else (b, "the parent")
            yield f"epoch {row['epoch']}, step {row['step']}: {who} ends before it"
        elif a != b:
            yield f"epoch {a['epoch']}, step {a['step']}: {a['loss']} against {b['loss']}"
    for a, b in itertools.zip_longest(_rows(parent, "metrics.csv"), _rows(run, "metrics.csv"), fillvalue={}):
        for name in {**a, **b}:
            if a.get(name) != b.get(name) and not name.startswith("time/"):
                yield f"epoch {(a or b)['epoch']}, {name}: {a.get(name)} against {b.get(name)}"
    ends = [read_digests(folder) for folder in (parent, run)]
    for name in {**ends[0], **ends[1]}:
        if ends[0].get(name) != ends[1].get(name):
            yield f"the end, sha256 of {name}: {ends[0].get(name)} against {ends[1].get(name)}"


def _final(parent: Path, run: Path) -> dict[str, tuple[float, float]]:
    """Return the validation scores of the last epoch, the parent's and the rerun's."""
    one, other = _rows(parent, "metrics.csv")[-1], _rows(run, "metrics.csv")[-1]
    found = {}
    for name in one:
        if name.startswith("val/") and one[name] and other.get(name):
            found[name] = (float(one[name]), float(other[name]))
    if not found:
        raise NotComparableError(f"{parent} and {run} have no final validation score in common.")
    return found


def _close(one: float, other: float, tolerance: float) -> bool:
    return abs(one - other) <= tolerance or (math.isnan(one) and math.isnan(other))


def _facts(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what of an execution may move its results, by name."""
    placement, processor = entry.get("placement") or {}, entry.get("processor") or {}
    return {
        "code": entry.get("code_sha256"),
        "commit": entry.get("commit"),
        "uncommitted changes": bool(entry.get("patch")),
        "python": entry.get("python"),
        "threads": placement.get("threads"),
        "trainer.devices": placement.get("trainer.devices"),
        "devices": entry.get("devices"),
        "processor capability": processor.get("capability"),
        **(entry.get("packages") or {}),
    }


def _drifted(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """Return {fact: (parent's, rerun's)} where the executions of the two do not all agree."""
    if not before:
        return {"environment.yaml": ("missing", "present")}
    sides = [[_facts(entry) for entry in entries] for entries in (before, now)]
    found = {}
    for name in {name: None for side in sides for facts in side for name in facts}:
        values = [[facts.get(name) for facts in side] for side in sides]
        if any(value != values[0][0] for side in values for value in side):
            found[name] = (_shown(values[0]), _shown(values[1]))
    return found


def _shown(values: list[Any]) -> Any:
    distinct = [value for place, value in enumerate(values) if value not in values[:place]]
    return distinct[0] if len(distinct) == 1 else distinct


def _data(parent: Path, run: Path) -> list[str]:
    """Name the data files that are gone, new or changed."""
    tables = [folder / fingerprint.FINGERPRINT for folder in (parent, run)]
    absent = [f"not compared: {table} is missing" for table in tables if not table.exists()]
    return absent or fingerprint.drift(*(fingerprint.read_table(table) for table in tables))
