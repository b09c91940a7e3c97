"""A progress bar on a terminal, for commands that go through many files."""

import contextlib
import sys
from collections.abc import Callable, Iterator

Tick = Callable[[int, int], None]  # how many are done, of how many


@contextlib.contextmanager
def bar(title: str) -> Iterator[Tick]:
    """Show how far a loop is: what is yielded takes how many are done, and of how many.

    What is logged meanwhile appears above the bar. In a file or a pipe there is none.
    """
    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)
