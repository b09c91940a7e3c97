"""A job of a sweep: what sweep.yaml says of it, and how far it is."""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from segfield.run.placement import KEYS, SOURCES, leaves
from segfield.run.status import ENDED, read_status, shown
from segfield.run.status import NAME as STATUS

_NOT_STARTED = 2  # exit code of execute
_SIGNALS = {9: " (out of memory?)", 11: " (segmentation fault)"}


@final
@dataclasses.dataclass(frozen=True)
class Job:
    """An entry of sweep.yaml.

    Args:
        number: also the name of its folder.
        overrides: of the command line.
        digest: of its frozen config, placement aside.
        monitor: the score that decides.
        mode: max or min.
        epochs: that it trains.
        accelerator: as frozen.
        devices: as frozen.
        same_as: number of the job with the same config, which runs in its place.
    """

    number: int
    overrides: list[str]
    digest: str
    monitor: str
    mode: str
    epochs: int
    accelerator: Any = "auto"
    devices: Any = 1
    same_as: int | None = None


def same_work(found: str, overrides: Sequence[str]) -> tuple[str, ...]:
    """Return what two jobs of one sweep have in common that need to run once only.

    A folder of data is placement, but a sweep over several has other data in each.

    Args:
        found: digest of the config.
        overrides: of the job.
    """
    return (found, *sorted(word for word in overrides if key_of(word) in SOURCES))


def digest(config: dict[str, Any]) -> str:
    """Return a digest of a resolved config that any change of what is computed changes, and no placement."""
    what = {key: value for key, value in leaves(config) if key not in KEYS}
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def key_of(override: str) -> str:
    """Return the key of an override, without + and ~ before it."""
    return override.lstrip("+~").partition("=")[0]


def printable(text: str) -> str:
    """Return a text whose characters cannot move a terminal's cursor: it may come from others."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)


def varied(jobs: list[Job]) -> dict[int, dict[str, str]]:
    """Return, by number, the overrides that are not the same in all jobs: value by key, "" where a job has none."""
    every = {
        job.number: {key_of(word): word.partition("=")[2] for word in map(printable, job.overrides)} for job in jobs
    }
    keys = dict.fromkeys(key for words in every.values() for key in words)
    differing = [key for key in keys if len({words.get(key) for words in every.values()}) > 1]
    return {number: {key: words.get(key, "") for key in differing} for number, words in every.items()}


@final
class Row:
    """How far a job is, read from the files that it writes.

    Args:
        job: of the sweep.
        folder: of the sweep.
        changed: its varied overrides.
    """

    def __init__(self, job: Job, folder: Path, changed: dict[str, str]) -> None:
        self.job, self.changed = job, changed
        self.folder = folder / str(job.number if job.same_as is None else job.same_as)
        self.status: dict[str, Any] = {"state": "planned"}
        self.reason = ""
        self.queued = False  # it waits for its turn
        self.here = False  # it ran, or runs, in this execution of the sweep
        self._stamp: Any = None
        self._began = self._ended = self._marked = 0.0
        self._first = 0

    @property
    def state(self) -> str:
        """Return planned, running, finished, failed, interrupted, pruned or killed."""
        return str(self.status["state"])

    @property
    def epoch(self) -> int:
        """Return the number of epochs that are over."""
        epoch = self.status.get("epoch")
        return epoch if isinstance(epoch, int) else 0

    @property
    def best(self) -> float | None:
        """Return the best monitored score; None where there is none, or no number."""
        best = (self.status.get("best") or {}).get(self.job.monitor)
        return float(best) if isinstance(best, int | float) and math.isfinite(best) else None

    def named(self) -> str:
        """Return the varied overrides as one types them; of a job alone all of them."""
        changed = [f"{key}={value}" for key, value in self.changed.items()]
        return " ".join(changed or map(printable, self.job.overrides)) or "defaults"

    def look(self) -> str:
        """Read how it stands while nobody executes it; return the state."""
        self.status = shown(self.folder)
        self.reason = printable(str(self.status.get("reason") or ""))
        return self.state

    def begin(self) -> None:
        """Note that it starts now."""
        self.look()
        self.queued, self.here, self._began, self._first = False, True, time.monotonic(), self.epoch
        self.status = {**self.status, "state": "running"}
        self._marked = self._began

    def refresh(self) -> bool:
        """Read status.json of the running job where it has changed; tell whether an epoch has ended."""
        try:
            found = (self.folder / STATUS).stat()
        except OSError:
            return False
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if stamp == self._stamp:
            return False
        self._stamp, before = stamp, self.epoch
        self.status = {**read_status(self.folder), "state": "running"}
        if self.epoch == before:
            return False
        self._marked = time.monotonic()
        return True

    def end(self, code: int, why: str = "") -> None:
        """Note that its process has ended.

        Args:
            code: its exit code; negative: the signal that killed it.
            why: it did not start.
        """
        self._ended = time.monotonic()
        state = self.look()
        if state in ENDED or (state in ("failed", "interrupted") and code > 0 and code != _NOT_STARTED):
            return
        if code < 0 and -code not in (2, 15):
            self.status = {**self.status, "state": "killed"}
            self.reason = f"signal {-code}{_SIGNALS.get(-code, '')}"
        elif code < 0 or code in (130, 143):
            self.status = {**self.status, "state": "interrupted"}
            self.reason = f"signal {-code if code < 0 else code - 128}"
        else:
            self.status = {**self.status, "state": "failed"}
            self.reason = why or ("it could not start" if code == _NOT_STARTED else f"exit code {code}")

    def seconds(self) -> float:
        """Return how long it has run here, or, where it did not, all its executions together."""
        if not self.here:
            seconds = self.status.get("seconds")
            return float(seconds) if isinstance(seconds, int | float) else 0.0
        return (self._ended or time.monotonic()) - self._began

    def left(self) -> float | None:
        """Return how many seconds the running job still needs; None before its first epoch here is over."""
        done = self.epoch - self._first
        if self.state != "running" or done <= 0:
            return None
        each = (self._marked - self._began) / done
        return max(0.0, each * (self.job.epochs - self.epoch) - (time.monotonic() - self._marked))
