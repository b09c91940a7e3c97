"""A progress bar on a terminal, for commands that go through many files."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Tick = Callable[[int, int], None]  # how many are done, of how many


@contextlib.contextmanager
def bar(title: str, what: str = "") -> Iterator[Tick]:
    """Show how far a loop is: what is yielded takes how many are done, and of how many.

    What is logged meanwhile appears above the bar. In a file or a pipe there is none. `what` is the plural of what is
    done: it is shown with their number a second, counted from the first call.
    """
    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rate = (TextColumn("{task.fields[rate]}"),) if what else ()
    with Progress(*columns, *rate, console=Console(stderr=True), redirect_stdout=False) as progress:
        task = progress.add_task(title, total=None, rate="")
        first: int | None = None
        began = time.monotonic()

        def tick(done: int, of: int) -> None:
            """Show the rate since the first call, which says what was there before."""
            nonlocal first
            first = done if first is None else first
            shown = f"{(done - first) / (time.monotonic() - began):.1f} {what}/s" if done > first else ""
            progress.update(task, completed=done, total=of, rate=shown)

        yield tick
