"""The table of runs: as CSV, as text with tabs, or on a terminal as many columns as its width takes."""

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from segfield.commands.runs import cells
from segfield.commands.runs.choose import FACTS, Names
from segfield.run.listing import Run
from segfield.run.placement import KEYS

GAP = 2  # blanks between columns of a terminal
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)-\d{6}")
_FIRST_KEYS = 4  # keys that get room before time and memory do


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        name: over it; a blank may become a line end.
        cells: one a run.
        rank: who gets room first on a narrow terminal; up to NEEDED it is always there.
        right: whether its cells stand at its right side.
    """

    name: str
    cells: list[str]
    rank: int = 0
    right: bool = True


NEEDED, ALIKE = 1, 9  # ranks: shown in any width; shown where there is room left


def differing(runs: Sequence[Run]) -> list[str]:
    """Return the frozen keys whose values differ between runs, placement aside; an absent key is null."""
    readable = [run.values for run in runs if run.values]
    keys = dict.fromkeys(key for values in readable for key in values if key not in KEYS)
    return [key for key in keys if any(values.get(key) != readable[0].get(key) for values in readable)]


def write_csv(runs: Sequence[Run]) -> None:
    """Write facts and every differing key, whole names and raw numbers, to stdout."""
    keys = differing(runs)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow([*FACTS[:4], *keys, *FACTS[4:]])
    for run in runs:
        found = [run.facts[name] for name in FACTS[:4]] + [run.values.get(key) for key in keys]
        found += [run.facts[name] for name in FACTS[4:]]
        table.writerow(["" if value is None else cells.typed(value) for value in found])


def columns(runs: Sequence[Run], names: Names) -> list[Column]:
    """Return all columns in their order."""
    facts: dict[str, list[Any]] = {name: [run.facts[name] for run in runs] for name in FACTS}

    def column(name: str, fact: str, rank: int, show: Any = cells.whole, *, right: bool = True) -> Column:
        """Show one fact of every run."""
        return Column(name, [show(value) for value in facts[fact]], rank, right)

    metrics = {metric for metric in facts["metric"] if metric}
    best = column("best", "best", 0, cells.score)
    if len(metrics) == 1:
        best = column(f"best {cells.printable(metrics.pop())}", "best", 0, cells.score)
    elif metrics:
        pairs = zip(best.cells, facts["metric"], strict=True)
        best = Column("best", [f"{cells.short(name)} {text}" for text, name in pairs], 0)
    epochs = [cells.share(*pair) for pair in zip(facts["epoch"], facts["epochs"], strict=True)]
    described = [
        column(group, group, ALIKE if len(set(facts[group])) == 1 < len(runs) else 2, cells.short, right=False)
        for group in ("model", "data")
    ]
    return [
        column("run", "run", 0, cells.printable, right=False),
        column("state", "state", 0, cells.printable, right=False),
        *described,
        *_keys(runs, names),
        best,
        Column("epoch", epochs, NEEDED),
        column("time", "seconds", 4, cells.clock),
        column("peak MB", "memory_mb", 5),
        *([column("GPU MB", "gpu_memory_mb", 5)] if any(facts["gpu_memory_mb"]) else []),
        *([column("reason", "reason", 8, cells.brief, right=False)] if any(facts["reason"]) else []),
    ]


def _keys(runs: Sequence[Run], names: Names) -> list[Column]:
    """Return the differing keys as columns, and which of them get room first.

    What model and data say already comes last: it differs between them only. Of keys that repeat one another (seed and
    data.seed) one is shown; the classes of model and data stand in their own columns.
    """
    kinds: dict[tuple[Any, Any], list[Run]] = {}
    for run in runs:
        kinds.setdefault((run.facts["model"], run.facts["data"]), []).append(run)
    within = {key for alike in kinds.values() for key in differing(alike)}
    shown: dict[str, list[list[Any]]] = {}
    result = []
    for key in sorted(differing(runs), key=lambda key: key.count(".")):
        found, last = [run.values.get(key) for run in runs], key.rpartition(".")[2]
        if key in ("model._target_", "data._target_") or found in shown.setdefault(last, []):
            continue
        if last == "_partial_" or (last == "_target_" and key.count(".") > 1):  # of a score, of a part of augmentation
            continue
        shown[last].append(found)
        if last == "_target_":
            found = [value.rpartition(".")[2] if isinstance(value, str) else value for value in found]
        result.append((key, found))
    place = {key: number for number, key in enumerate(dict.fromkeys(key for run in runs for key in run.values))}
    result.sort(key=lambda pair: place[pair[0]])
    # A key that some runs lack comes with a class, which has a column of its own.
    everywhere = [key for key, _ in result if key in within and all(key in run.values for run in runs if run.values)]
    return [
        Column(
            names.short(key),
            [cells.short(value) for value in found],
            3 if key in everywhere[:_FIRST_KEYS] else 6 if key in within else 7,
            right=all(isinstance(value, int | float | None) for value in found),
        )
        for key, found in result
    ]


def write_text(columns: Sequence[Column]) -> None:
    """Write columns to stdout, each ended by a tab and as wide as its widest cell."""
    widths = [max(map(len, [column.name, *column.cells])) for column in columns]
    for row in zip(*([column.name, *column.cells] for column in columns), strict=True):
        aligned = [
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(row, widths, columns, strict=True)
        ]
        sys.stdout.write("\t".join(aligned).rstrip() + "\n")


def short_names(runs: Iterable[Run], every: Iterable[Run]) -> list[str]:
    """Return names of runs with * for the microseconds of their time, where no other run begins like that.

    A shell finds the folder by it.
    """
    counts = Counter(_STAMP.sub(r"\1*", run.name) for run in every)
    pairs = [(run.name, _STAMP.sub(r"\1*", run.name)) for run in runs]
    return [cells.printable(short if counts[short] == 1 else name) for name, short in pairs]
