"""The verdict on a rerun: bit-equal, equal within tolerance, differs, or not comparable; with what drifted beside it.

Bits are promised for the same code, packages, threads, processor capability, devices and data. Where one of these
drifted, the final scores of the validation are compared within a tolerance instead.
"""

import csv
import hashlib
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segfield.data.fingerprint import FINGERPRINT, Row, drift, read_table
from segfield.run.data import SPLITS
from segfield.run.environment import read_environment
from segfield.run.weights import NAME as DIGESTS
from segfield.run.weights import read_digests

BIT_EQUAL, WITHIN, DIFFERS = "bit-equal", "equal within tolerance", "differs"
TOLERANCE = 0.01
_DIGESTED = ("weights", "optimizer", "scheduler")
# A commit that leaves the package's source as it is explains no difference.
_EXPLAINS_NOTHING = ("commit", "uncommitted changes")


class NotComparableError(ValueError):
    """There is nothing to compare: a run that has not ended, a file that is missing or damaged, data that is gone."""


@dataclass(frozen=True)
class Evidence:
    """What a run that has ended says of itself."""

    folder: Path
    steps: list[dict[str, str]]
    epochs: list[dict[str, str]]
    digests: dict[str, str]
    executions: list[dict[str, Any]]
    files: list[Row] | None


def evidence(folder: Path) -> Evidence:
    """Read what a verdict rests on, before anything is run.

    Raises:
        NotComparableError: if a file is missing, damaged or not what the run wrote; it is named.
    """
    steps = _rows(folder, "trace.csv", ("epoch", "step", "loss"))
    epochs = _rows(folder, "metrics.csv", ("epoch", "step"))
    for row, step in zip(steps, itertools.count(), strict=False):
        if row["step"] != str(step) or not _is_number(row["loss"]):
            raise _damaged(folder / "trace.csv", f"its row of step {step} is missing or broken")
    try:
        digests, executions = read_digests(folder), read_environment(folder)
        files = read_table(folder / FINGERPRINT) if (folder / FINGERPRINT).exists() else None
        split = hashlib.sha256((folder / SPLITS).read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        raise NotComparableError(str(error)) from error
    if not all(re.fullmatch("[0-9a-f]{64}", digests.get(name, "")) for name in _DIGESTED):
        raise _damaged(folder / DIGESTS, f"expected the sha256 of {', '.join(_DIGESTED)}")
    if executions and executions[-1].get("splits_sha256") != split:
        raise _damaged(folder / SPLITS, "its sha256 is not the one in environment.yaml")
    return Evidence(folder, steps, epochs, digests, executions, files)


def _rows(folder: Path, name: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    path = folder / name
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            rows = list(table)
    except FileNotFoundError as error:
        left_out = name.replace(".csv", "").replace("metrics", "metrics_csv")
        raise NotComparableError(
            f"{folder} has no {name}: it has not ended, or its callbacks.{left_out} was left out."
        ) from error
    except (OSError, ValueError, csv.Error) as error:
        raise _damaged(path, str(error)) from error
    if tuple(table.fieldnames or ())[: len(columns)] != columns:
        raise _damaged(path, f"expected the columns {','.join(columns)}")
    if not rows or any(None in row or None in row.values() for row in rows):
        raise _damaged(path, "it has no row, or a broken one")
    return rows


def _damaged(path: Path, what: str) -> NotComparableError:
    return NotComparableError(f"{path} is damaged: {what}. Restore it from a copy of the run.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def compare(one: Evidence, other: Evidence, changed: dict[str, tuple[Any, Any]], tolerance: float) -> dict[str, Any]:
    """Compare a run with its rerun.

    Args:
        one: of the parent.
        other: of the rerun.
        changed: {key: (parent's, rerun's)} of the configuration, placement aside.
        tolerance: largest difference of a final validation score that still counts as equal.

    Returns:
        verdict, text, and what it rests on; plain values.

    Raises:
        NotComparableError: if they differ, that may be explained, and they have no final score in common.
    """
    drifted, data = _drifted(one.executions, other.executions), _data(one, other)
    first = next(_differences(one, other), None)
    final = _final(one, other)
    beyond = {name: pair for name, pair in final.items() if not _close(*pair, tolerance)}
    if first is None and not changed:
        kind, text = BIT_EQUAL, "losses, metrics and weights are the same to the last bit"
    elif not (changed or data or any(name not in _EXPLAINS_NOTHING for name in drifted)):
        kind, text = DIFFERS, f"differs from {first}"
    elif not final:
        raise NotComparableError(f"{one.folder} and {other.folder} have no final validation score in common.")
    elif not beyond:
        kind, text = WITHIN, f"every final validation score is within {tolerance:g}"
    else:
        name, (a, b) = next(iter(beyond.items()))
        kind, text = DIFFERS, f"differs in the final {name}: {a:g} against {b:g}, more than {tolerance:g} apart"
    return {
        "verdict": kind,
        "text": text,
        "parent": str(one.folder),
        "run": str(other.folder),
        "tolerance": tolerance,
        "first_difference": None if changed else first,
        "final": {name: {"parent": _plain(a), "run": _plain(b)} for name, (a, b) in final.items()},
        "changed": {key: {"parent": old, "run": new} for key, (old, new) in changed.items()},
        "drifted": {name: {"parent": old, "run": new} for name, (old, new) in drifted.items()},
        "drifted_data": data,
    }


def _differences(one: Evidence, other: Evidence) -> Iterator[str]:
    """Name the places where two runs part: steps first, then epochs' scores, then what they ended with."""
    for a, b in itertools.zip_longest(one.steps, other.steps):
        if a is None or b is None:
            row, who = (a, "the rerun") if b is None else (b, "the parent")
            yield f"epoch {row['epoch']}, step {row['step']}: {who} ends before it"
        elif a != b:
            yield f"epoch {a['epoch']}, step {a['step']}: {a['loss']} against {b['loss']}"
    for a, b in itertools.zip_longest(one.epochs, other.epochs, fillvalue={}):
        for name in {**a, **b}:
            if a.get(name) != b.get(name) and not name.startswith("time/"):
                yield f"epoch {(a or b)['epoch']}, {name}: {a.get(name)} against {b.get(name)}"
    for name in {**one.digests, **other.digests}:
        if one.digests.get(name) != other.digests.get(name):
            yield f"the end, sha256 of {name}: {one.digests.get(name)} against {other.digests.get(name)}"


def _final(one: Evidence, other: Evidence) -> dict[str, tuple[float, float]]:
    """Return each validation score's last value, the parent's and the rerun's."""
    last: list[dict[str, float]] = []
    for rows in (one.epochs, other.epochs):
        scores = [(name, value) for row in rows for name, value in row.items() if name.startswith("val/")]
        last.append({name: float(value) for name, value in scores if value and _is_number(value)})
    return {name: (last[0][name], last[1][name]) for name in last[0] if name in last[1]}


def _close(one: float, other: float, tolerance: float) -> bool:
    return abs(one - other) <= tolerance or (math.isnan(one) and math.isnan(other)) or one == other


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON has no nan


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


def _data(one: Evidence, other: Evidence) -> list[str]:
    """Name the data files that are gone, new or changed."""
    if one.files is None or other.files is None:
        lacking = one.folder if one.files is None else other.folder
        return [f"not compared: {lacking / FINGERPRINT} is missing"]
    return drift(one.files, other.files)
