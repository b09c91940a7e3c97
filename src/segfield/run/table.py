"""What a sweep shows while it runs: a live table on a terminal, else plain lines."""

import contextlib
import sys
import time
from collections.abc import Sequence
from typing import Any, Protocol, final

from segfield.run import results
from segfield.run.job import Row
from segfield.run.status import ENDED

_EVERY = 0.5  # [s] between two pictures
_QUIET = 10.0  # [s] between two lines of a job that trains on
_ROUND = 8  # lines of a terminal that stay free


def duration(seconds: float | None) -> str:
    """Return 0:07, 12:40 or 1:02:00; "" where it is not known."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def remaining(rows: Sequence[Row], slots: int) -> float | None:
    """Estimate how many seconds the sweep still needs; None before a job or an epoch is over."""
    running = [row for row in rows if row.state == "running"]
    lefts = [left for row in running if (left := row.left()) is not None]
    whole = [row.seconds() for row in rows if row.here and row.state in ENDED]
    whole += [row.seconds() + left for row in running if (left := row.left()) is not None]
    if not whole:
        return None
    each = sum(whole) / len(whole)
    waiting = sum(1 for row in rows if row.queued)
    unknown = [max(0.0, each - row.seconds()) for row in running if row.left() is None]
    return max([(sum(lefts) + sum(unknown) + waiting * each) / slots, *lefts])


def tell(text: str) -> None:
    """Write a line to standard error; a terminal that is gone (a closed pipe) ends no sweep."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class Board(Protocol):
    """Shows a sweep."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def started(self, row: Row) -> None:
        """Show that a job has started."""

    def epoch(self, row: Row) -> None:
        """Show that an epoch of it is over."""

    def ended(self, row: Row) -> None:
        """Show how it ended."""

    def tick(self) -> None:
        """Take up what has changed."""

    def close(self) -> None:
        """Leave the last picture."""


def outcome(row: Row) -> str:
    """Return how a job ended, in one line."""
    score = f": {row.job.monitor}={row.best:.4g}" if row.best is not None and row.state in ENDED else ""
    reason = f": {row.reason.splitlines()[0]}" if row.reason and not score else ""
    if row.state == "finished" and not score:
        reason = f" without a score: {row.job.monitor} was not logged, or is no number"
    name = "" if row.state in ENDED else f" ({row.named()})"
    return f"job {row.job.number}{name} {row.state}{score}{reason} in {duration(row.seconds())}"


@final
class Plain:
    """Lines for a file or a pipe.

    Args:
        rows: of the jobs that run.
    """

    def __init__(self, rows: Sequence[Row], slots: int) -> None:
        self._said: dict[int, float] = {}

    def say(self, text: str) -> None:
        """See Board."""
        tell(text)

    def started(self, row: Row) -> None:
        """See Board."""
        self._said[row.job.number] = time.monotonic()
        self.say(f"job {row.job.number} started: {row.named()}")

    def epoch(self, row: Row) -> None:
        """See Board; a line in 10 s at most, and none for the last epoch, after which the job ends."""
        if row.epoch >= row.job.epochs or time.monotonic() - self._said.get(row.job.number, 0.0) < _QUIET:
            return
        self._said[row.job.number] = time.monotonic()
        score = f", best {row.job.monitor}={row.best:.4g}" if row.best is not None else ""
        self.say(f"job {row.job.number} epoch {row.epoch}/{row.job.epochs}{score}")

    def ended(self, row: Row) -> None:
        """See Board."""
        self.say(outcome(row))

    def tick(self) -> None:
        """See Board."""

    def close(self) -> None:
        """See Board."""


@final
class Live:
    """A table that changes in its place.

    Args:
        rows: of the jobs that run.
        slots: jobs at once.
        console: of rich; None: standard error.
    """

    def __init__(self, rows: Sequence[Row], slots: int, console: Any = None) -> None:
        from rich.console import Console
        from rich.live import Live as Picture

        self._rows, self._slots = rows, slots
        self._began = time.monotonic()
        self._shown = 0.0
        self._console = console or Console(stderr=True)
        self._picture = Picture(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._picture.start()

    def say(self, text: str) -> None:
        """See Board."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def started(self, row: Row) -> None:
        """See Board."""
        self.tick()

    def epoch(self, row: Row) -> None:
        """See Board."""

    def ended(self, row: Row) -> None:
        """See Board; a table of running jobs alone tells of none that has ended."""
        if len(self._rows) > self._room() or row.state not in ENDED:
            self.say(outcome(row))

    def tick(self) -> None:
        """See Board."""
        if time.monotonic() - self._shown >= _EVERY:
            self._shown = time.monotonic()
            self._picture.update(self._drawn(), refresh=True)

    def close(self) -> None:
        """See Board."""
        self._picture.update(self._drawn(), refresh=True)
        self._picture.stop()

    def _room(self) -> int:
        return max(4, self._console.height - _ROUND)

    def _drawn(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        shown = list(self._rows)
        if len(shown) > self._room():
            shown = [row for row in shown if row.state == "running"][: self._room()]
        names = _short([key for row in self._rows[:1] for key in row.changed])
        metrics = {row.job.monitor for row in self._rows}
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
        for name, side in (("job", "right"), ("state", "left"), ("changed", "left"), ("epoch", "right")):
            table.add_column(name, justify=side, overflow="fold", no_wrap=name != "changed")  # type: ignore[arg-type]
        for name in (metrics.pop() if len(metrics) == 1 else "best", "time", "left"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in shown:
            changed = " ".join(f"{names[key]}={value}" for key, value in row.changed.items())
            score = "" if row.best is None else f"{row.best:.4f}"
            epochs = f"{row.epoch}/{row.job.epochs}"
            state = Text(_state(row), style=_STYLES.get(_state(row), ""))
            cells = (str(row.job.number), state, Text(changed), epochs, score)
            table.add_row(*cells, duration(row.seconds() or None), duration(row.left()))
        return Group(Text(self._summary()), *([table] if shown else []))

    def _summary(self) -> str:
        counts: dict[str, int] = {}
        for row in self._rows:
            counts[_state(row)] = counts.get(_state(row), 0) + 1
        parts = [f"{count} {state}" for state, count in counts.items()]
        if one := results.best(self._rows):
            parts.append(f"best {one.best:.4f} by job {one.job.number}")
        parts.append(f"{duration(time.monotonic() - self._began)} so far")
        if (left := remaining(self._rows, self._slots)) and left >= 1:
            parts.append(f"about {duration(left)} left")
        return f"sweep of {len(self._rows)}: {', '.join(parts)}"


_STYLES = {"running": "cyan", "finished": "green", "pruned": "green", "failed": "red", "killed": "red"}


def _state(row: Row) -> str:
    return "waiting" if row.queued else row.state


def _short(keys: Sequence[str]) -> dict[str, str]:
    """Return the last word of each key, where no other key ends in it."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: word if last.count(word) == 1 else key for key, word in zip(keys, last, strict=True)}


def board(rows: Sequence[Row], slots: int) -> Board:
    """Return the table for a terminal, the lines for anything else."""
    if sys.stderr.isatty():
        from rich.console import Console

        console = Console(stderr=True)
        if console.is_terminal and not console.is_dumb_terminal:
            return Live(rows, slots, console)
    return Plain(rows, slots)
