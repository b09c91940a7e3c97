"""Run the jobs of a sweep that have not ended: n at once, each a process that executes its folder."""

import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from segfield.run import results
from segfield.run.freeze import CONFIG
from segfield.run.job import Job, Row, key_of, printable, varied
from segfield.run.lock import alive
from segfield.run.pool import Child, Pool, Process
from segfield.run.preload import Zygote
from segfield.run.share import Shares
from segfield.run.status import ENDED
from segfield.run.sweep import Sweep
from segfield.run.table import Board, board, tell

CONSOLE = "console.txt"
_STUDY = "study.db"  # of a search, beside its jobs
_LOOK = 0.5  # [s] between two looks at status.json
_TOLD = 8  # lines of a job that did not end well
_LINE = 160  # characters of such a line
_END = 50_000  # bytes of the console that are looked at

Words = Callable[[int], Sequence[str]]


@final
@dataclasses.dataclass(frozen=True)
class Settings:
    """How jobs run; see conf/hydra/launcher/processes.yaml."""

    jobs: int = 1
    retry_failed: bool = False
    preload: bool = False

    def problems(self) -> list[str]:
        """Say which value cannot be."""
        found = []
        if type(self.jobs) is not int or self.jobs < 1:
            found.append(f"hydra.launcher.jobs={self.jobs} must be a number of jobs at once, 1 or more.")
        for name in ("retry_failed", "preload"):
            if type(getattr(self, name)) is not bool:
                found.append(f"hydra.launcher.{name}={getattr(self, name)} must be true or false.")
        return found


def shares_of(jobs: Iterable[Job], settings: Settings, words: Words) -> Shares:
    """Return what each job gets of this machine."""
    return Shares(settings.jobs, [_devices(job, words(job.number)) for job in jobs])


def _devices(job: Job, words: Sequence[str]) -> tuple[Any, Any]:
    given = dict(word.partition("=")[::2] for word in words)
    return given.get("trainer.accelerator", job.accelerator), given.get("trainer.devices", job.devices)


@final
class Starter:
    """Starts jobs, as programs or as forks of one process that is kept from batch to batch.

    Args:
        preload: forks.
    """

    def __init__(self, *, preload: bool) -> None:
        self._preload = preload
        self._zygote: Zygote | None = None

    def __call__(self, words: list[str], folder: Path, environment: Mapping[str, str]) -> Process:
        """Start `python -m segfield <words>`, which executes the folder."""
        console = folder / CONSOLE
        if not self._preload:
            return Child([sys.executable, "-m", "segfield", *words], console, environment)
        if self._zygote is None or self._zygote.is_dead():
            self.close()
            self._zygote = Zygote()
        return self._zygote.start(words, folder, console, environment)

    def close(self) -> None:
        """End the process that forks."""
        if self._zygote:
            self._zygote.close()
        self._zygote = None


@final
class Execution:
    """One execution of a sweep, or of a batch of it, under the sweep folder's lock.

    Args:
        sweep: all jobs are frozen.
        settings: of the launcher.
        words: placement of each job, by its number, for this execution.
        starter: the caller closes it.
    """

    def __init__(self, sweep: Sweep, settings: Settings, words: Words, starter: Starter) -> None:
        changed = varied(list(sweep.jobs.values()))
        self.rows = {number: Row(job, sweep.folder, changed[number]) for number, job in sorted(sweep.jobs.items())}
        self._folder, self._settings, self._words, self._starter = sweep.folder, settings, words, starter
        self._own = [row for row in self.rows.values() if row.job.same_as is None]
        self.shares = shares_of(sweep.jobs.values(), settings, words)
        self._running: dict[int, Row] = {}
        self._looked = 0.0

    def run(self, numbers: Iterable[int]) -> None:
        """Run those of the jobs that are not over, and write sweep.csv.

        Raises:
            SystemExit: 130 or 143 after a signal, when all jobs have ended.
        """
        for row in self._own:
            row.look()
        queue = self._queue(list(numbers))
        for row in queue:
            row.queued = True
        shown = board(self._own, self._settings.jobs)
        pool = Pool(self._settings.jobs, self._start)
        try:
            self._follow(pool, queue, shown)
        finally:
            for row in queue:
                row.queued = False
            shown.close()
            self._write(shown)
        if pool.received:
            again = f"continue with: python -m segfield execute {self._folder}"
            if (self._folder / _STUDY).exists():
                again = "to go on with the search give its command again, with the same hydra.sweep.dir"
            shown.say(f"the sweep is interrupted; {again}")
            raise SystemExit(128 + pool.received[0])

    def ended_well(self, numbers: Iterable[int]) -> bool:
        """Tell whether all these jobs are over."""
        return all(self.rows[number].state in ENDED for number in numbers)

    def _queue(self, numbers: Sequence[int]) -> list[Row]:
        """Return the jobs to run; what is not run, and why, is told."""
        over, failed, queue = [], [], {}
        for number in numbers:
            first = self.rows[number].job.same_as
            if first is not None:
                tell(f"job {number} is job {first} again: not run")
            row = self.rows[number if first is None else first]
            if row.state in ENDED:
                over.append(row.job.number)
            elif row.state == "failed" and not self._settings.retry_failed:
                failed.append(row.job.number)
            else:
                queue[row.job.number] = row
        if over:
            tell(f"{_listed(over)} ended in an earlier execution: not run again")
        if failed:
            tell(f"{_listed(failed)} failed before: not run again; hydra.launcher.retry_failed=true does")
        return list(queue.values())

    def _start(self, row: Row, slot: int) -> Process:
        row.begin()
        if not (row.folder / CONFIG).exists():
            raise OSError(f"{row.folder} has no {CONFIG}. Give the sweep's own command again: it is frozen anew")
        given = self._words(row.job.number)
        typed = [word for word in row.job.overrides if key_of(word) == "threads"]
        words = ["execute", str(row.folder), *given, *self.shares.words([*typed, *given])]
        return self._starter(words, row.folder, self.shares.environment(slot, *_devices(row.job, given)))

    def _follow(self, pool: Pool[Row], queue: list[Row], shown: Board) -> None:
        told = 0
        for event in pool.run(queue, lambda row: not alive(row.folder)):
            if event.item is None:
                if len(pool.received) > told:
                    told = len(pool.received)
                    shown.say(_ENDING[min(told, len(_ENDING)) - 1].format(signal.Signals(pool.received[-1]).name))
                self._look(shown)
            elif event.code is None:
                self._running[event.item.job.number] = event.item
                shown.started(event.item)
            else:
                self._running.pop(event.item.job.number, None)
                event.item.end(event.code, event.why)
                shown.ended(event.item)
                if event.item.state not in (*ENDED, "interrupted"):
                    shown.say(said_last(event.item.folder / CONSOLE))
                self._write(shown)

    def _look(self, shown: Board) -> None:
        if time.monotonic() - self._looked >= _LOOK:
            self._looked = time.monotonic()
            for row in self._running.values():
                if row.refresh():
                    shown.epoch(row)
            shown.tick()

    def _write(self, shown: Board) -> None:
        for row in self.rows.values():
            if row.job.same_as is not None:
                row.status, row.reason = self.rows[row.job.same_as].status, self.rows[row.job.same_as].reason
        try:
            results.write(list(self.rows.values()), self._folder)
        except OSError as error:  # a full disk must not end the jobs
            shown.say(f"{results.SWEEP} cannot be written: {error}")


_ENDING = (
    "{}: no further job starts, the running ones save and end; once more: at once, back to their last checkpoints",
    "{} again: the running jobs end at once",
    "{} again: the running jobs are killed",
)


def _listed(numbers: Sequence[int]) -> str:
    if len(numbers) > 10:
        return f"{len(numbers)} jobs"
    return f"job{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def said_last(console: Path) -> str:
    """Return what a job that did not end well said last, indented: where a crash happened, else its last lines."""
    lines = [line for line in printable(_end(console)).splitlines() if line.strip()]
    crash = max((place for place, line in enumerate(lines) if line.startswith("Fatal Python error")), default=None)
    shown = lines[-_TOLD:] if crash is None else lines[crash : crash + _TOLD]
    return "\n".join(f"    {line[:_LINE]}" for line in [*shown, f"all of it: {console}"])


def _end(path: Path) -> str:
    """Return the end of a plain file; nothing where there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return os.pread(file, _END, max(0, os.fstat(file).st_size - _END)).decode(errors="replace")
    finally:
        os.close(file)
