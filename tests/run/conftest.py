"""Other processes, which are real ones, and file systems without locks."""

import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from segfield.run import lock
from segfield.run.lock import LockedError


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Callable[[Callable[[], Any]], int]]:
    """Do work in a forked process that goes on until it returns; all are killed in the end."""
    children = []

    def start(work: Callable[[], Any]) -> int:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = work() or 0
            except LockedError as error:
                (tmp_path / f"refused{os.getpid()}").write_text(str(error))
                code = 2
            finally:
                os._exit(code)
        children.append(child)
        return child

    yield start
    for child in children:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks."""

    def lockf(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", lockf)
    monkeypatch.setattr(lock, "BEAT", 0.05)
    monkeypatch.setattr(lock, "SETTLE", 0.3)
