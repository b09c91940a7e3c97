"""Run folders as they are found: where they stand, and what each of them says of itself.

Thousands are read in seconds, without torch and Hydra. Nothing is changed, and nothing is fatal: a folder that others
sent, or that a disk has damaged, is listed with what can still be read of it and with a note on the rest.
"""

import math
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segfield.run.freeze import CONFIG
from segfield.run.frozen import Frozen
from segfield.run.status import NAME as STATUS
from segfield.run.status import shown

_MOST = 1_000_000  # [bytes] of a config or status, beyond which it is made to exhaust memory
_MOST_SCORES = 64_000_000  # of metrics.csv: a row an epoch
_STAMP = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(-\d{6})?")
_CHOICES = "\n    choices:\n"


@dataclass(frozen=True)
class Run:
    """What a run folder says of itself.

    Args:
        folder: where it stands.
        name: its place below the folder that was searched.
        values: of the frozen config, by dotted key; none where it is damaged.
        options: that Hydra composed, by group; none for a saved or reproduced run.
        facts: see read(); None where nothing is known.
        notes: what is damaged, a line each.
    """

    folder: Path
    name: str
    values: dict[str, Any] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def kind(self, group: str) -> str | None:
        """Return the name of the class that a group is of."""
        target = self.values.get(f"{group}._target_")
        return target.rpartition(".")[2] if isinstance(target, str) else None


def find(place: Path, notes: list[str]) -> Iterator[Path]:
    """Yield every run folder at a place or below it, each once; never one inside another.

    Links to folders are followed, hidden folders are not looked into.

    Args:
        place: a folder.
        notes: takes what could not be read.
    """
    seen, waiting = set[tuple[int, int]](), [str(place)]
    while waiting:
        folder = waiting.pop()
        try:
            here = os.stat(folder)  # noqa: PTH116  # strings: a third of the time that paths take
            if (here.st_dev, here.st_ino) in seen:
                continue
            seen.add((here.st_dev, here.st_ino))
            if os.path.lexists(f"{folder}/{CONFIG}"):
                yield Path(folder)
                continue
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]
            waiting.extend(f"{folder}/{name}" for name in sorted(names, reverse=True))
        except FileNotFoundError:  # by now
            continue
        except OSError as error:
            notes.append(f"{folder}: {error.strerror}")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and Path(entry.path).is_dir())


def read(folder: Path, name: str, frozen: Frozen) -> Run:
    """Read one run folder, whatever state it is in.

    Its facts: state, model, data, metric (the monitored score's name), best, epoch (how many are over), epochs
    (at most), seconds, memory_mb, gpu_memory_mb (peaks), frozen (when), reason.
    """
    notes: list[str] = []
    values, when = _config(folder, frozen, notes)
    options, status = _options(folder), _status(folder, notes)
    if not values:
        status["state"] = "damaged"
    run = Run(folder, name, values, options, notes=notes)
    metric, best, epoch = _progress(run, status)
    if status["state"] == "saved" and notes:
        status["state"] = "damaged"
    stamp = _STAMP.search(name) or _STAMP.search(folder.name)
    run.facts.update(
        run=name,
        state=status["state"],
        model=options.get("model") or run.kind("model"),
        data=options.get("data") or run.kind("data"),
        metric=metric,
        best=best,
        epoch=epoch,
        epochs=_number(values.get("trainer.max_epochs")),
        seconds=_number(status.get("seconds")),
        memory_mb=_number(status.get("peak_memory_mb")),
        gpu_memory_mb=_number(status.get("peak_gpu_memory_mb")),
        frozen=stamp[0] if stamp else time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(when)) if when else None,
        reason=str(status["reason"]) if status.get("reason") else None,
    )
    return run


def _text(path: Path, most: int) -> tuple[str, float]:
    """Return a file's text and the time of its last change.

    Raises:
        OSError: if there is none, or it may not be read.
        ValueError: if it is no plain file (to read a pipe waits for ever), too large, or no UTF-8.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("no plain file")
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"larger than {most:,} bytes")
    return content.decode(), found.st_mtime


def _config(folder: Path, frozen: Frozen, notes: list[str]) -> tuple[dict[str, Any], float | None]:
    """Return the frozen values by dotted key, none where they cannot be read, and when they were written."""
    when = None
    try:
        text, when = _text(folder / CONFIG, _MOST)
        return frozen.values(text), when
    except (OSError, ValueError) as error:
        notes.append(f"{folder / CONFIG}: {_said(error)}")
    return {}, when


def _said(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _options(folder: Path) -> dict[str, str]:
    """Return Hydra's choices by group: by their lines, as to parse the whole record takes longer than all the rest."""
    try:
        text, _ = _text(folder / ".hydra" / "hydra.yaml", _MOST)
    except (OSError, ValueError):
        return {}
    options = {}
    for line in text.partition(_CHOICES)[2].splitlines():
        group, colon, option = line.partition(": ")
        if not (colon and line.startswith("      ")):
            break
        options[group.strip()] = option.strip("'\"")
    return options


def _status(folder: Path, notes: list[str]) -> dict[str, Any]:
    """Return status.json as others see it; "saved" for an experiment that was kept: it has scores and no status."""
    path = folder / STATUS
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST:
            raise ValueError("no plain file, or too large")
        status = shown(folder)
        if status["state"] == "unknown":
            raise ValueError("damaged")
    except FileNotFoundError:
        return {"state": "saved" if (folder / "metrics.csv").is_file() else "planned"}
    except (OSError, ValueError) as error:
        notes.append(f"{path}: {_said(error)}")
        return {"state": "unknown"}
    return status


def _progress(run: Run, status: dict[str, Any]) -> tuple[str | None, float | None, float | None]:
    """Return the monitored score's name, its best value, and how many epochs are over."""
    metric, epoch = run.values.get("task.monitor"), _number(status.get("epoch"))
    scores = {name: value for name, value in (status.get("best") or {}).items() if _is_score(value)}
    if metric not in scores and scores:
        metric = next(iter(scores))
    if not isinstance(metric, str):
        return None, None, epoch
    if scores or status["state"] == "planned":
        return metric, scores.get(metric), epoch
    rows = epochs(run.folder, run.notes)
    values = [row[metric] for row in rows if not math.isnan(row.get(metric, math.nan))]
    best = (min if run.values.get("task.mode") == "min" else max)(values, default=None)
    return metric, best, epoch if epoch is not None or not rows else int(rows[-1]["epoch"]) + 1


def epochs(folder: Path, notes: list[str]) -> list[dict[str, float]]:
    """Return the rows of metrics.csv, without the scores that an epoch lacks; broken ones are left out and noted."""
    path = folder / "metrics.csv"
    try:
        header, *lines = _text(path, _MOST_SCORES)[0].splitlines() or [""]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        notes.append(f"{path}: {_said(error)}")
        return []
    names, rows, broken = header.split(","), [], [] if header.startswith("epoch,step") else [1]
    for number, line in enumerate(lines if not broken else [], start=2):
        cells = line.split(",")
        try:
            row = {name: float(cell) for name, cell in zip(names, cells, strict=True) if cell}
            rows.append(row | {"epoch": int(cells[0])})
        except ValueError:
            broken.append(number)
    if broken:
        notes.append(f"{path}: broken, line {broken[0]}")
    return rows


def _is_score(value: Any) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) < 1e15)


def _number(value: Any) -> float | None:
    return value if _is_score(value) and abs(value) < 1e15 else None  # neither nan nor inf
