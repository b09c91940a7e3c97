"""What came out of a sweep: sweep.csv, the best job, and mean and standard deviation over data.fold."""

import csv
import io
import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from segfield.files import write_text
from segfield.run.job import Row
from segfield.run.status import ENDED

SWEEP, FOLDS = "sweep.csv", "folds.csv"
FOLD = "data.fold"
_FIRST, _LAST = ("job", "folder", "state"), ("metric", "best", "epoch", "seconds", "peak_memory_mb", "reason")


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write sweep.csv, and folds.csv where data.fold varies."""
    keys = list(rows[0].changed) if rows else []
    table = [[*_FIRST, *keys, *_LAST], *(_cells(row, keys) for row in rows)]
    write_text(folder / SWEEP, _text(table))
    if FOLD in keys:
        others = [key for key in keys if key != FOLD]
        lines = [
            [*(words[key] for key in others), metric, _shown(mean), _shown(deviation), count]
            for words, metric, mean, deviation, count in _over_folds(rows)
        ]
        write_text(folder / FOLDS, _text([[*others, "metric", "mean", "std", "n"], *lines]))


def _cells(row: Row, keys: Sequence[str]) -> list[Any]:
    status = row.status
    reason = row.reason if row.job.same_as is None else f"the same as job {row.job.same_as}"
    return [
        *(row.job.number, row.folder.name, row.state),
        *(row.changed[key] for key in keys),
        *(row.job.monitor, _shown(row.best), status.get("epoch", "")),
        *(status.get("seconds", ""), status.get("peak_memory_mb", ""), " ".join(reason.split())),
    ]


def _text(table: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue()


def _shown(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"


def best(rows: Sequence[Row]) -> Row | None:
    """Return the job with the best score of those that are over and are judged as the first one is."""
    scored = [row for row in rows if row.state in ENDED and row.best is not None and row.job.same_as is None]
    scored = [row for row in scored if (row.job.monitor, row.job.mode) == (rows[0].job.monitor, rows[0].job.mode)]
    sign = -1 if rows and rows[0].job.mode == "min" else 1
    return max(scored, key=lambda row: sign * (row.best or 0.0), default=None)


def _over_folds(rows: Sequence[Row]) -> Iterator[tuple[dict[str, str], str, float | None, float | None, int]]:
    """Yield (other overrides, metric, mean, standard deviation of the sample, number of folds) of finished jobs."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        others = tuple((key, value) for key, value in row.changed.items() if key != FOLD)
        groups.setdefault((others, row.job.monitor), []).append(row)
    for (others, metric), group in groups.items():
        scores = [row.best for row in group if row.state == "finished" and row.best is not None]
        mean = math.fsum(scores) / len(scores) if scores else None
        deviation = statistics.stdev(scores) if len(scores) > 1 else None
        yield dict(others), metric, mean, deviation, len(scores)


def told(rows: Sequence[Row], folder: Path) -> Iterator[str]:
    """Yield the lines that end a sweep."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    yield f"{len(rows)} job{'' if len(rows) == 1 else 's'}: {states}; {folder / SWEEP}"
    if rows and FOLD in rows[0].changed:
        for words, metric, mean, deviation, count in _over_folds(rows):
            name = " ".join(f"{key}={value}" for key, value in words.items()) or "all jobs"
            spread = f" +- {deviation:.4g}" if deviation is not None else ""
            yield f"{name}: {metric} {_shown(mean) or 'unknown'}{spread} over {count} fold{'' if count == 1 else 's'}"
    if missing := [str(row.job.number) for row in rows if row.state == "finished" and row.best is None]:
        yield (
            f"finished without a score: job {', '.join(missing)}; {rows[0].job.monitor} was not logged, or is no number"
        )
    if one := best(rows):
        yield f"best: job {one.job.number}, {one.job.monitor}={_shown(one.best)} ({one.named()}), {one.folder}"
