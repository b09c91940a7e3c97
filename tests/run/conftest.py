"""Other processes, which are real ones, jobs of a sweep among them, and file systems without locks."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from segfield.run import lock
from segfield.run.lock import LockedError
from segfield.run.pool import appended, reaped
from segfield.run.preload import _be


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


class ForkedJob:
    """A job of a sweep in a fork of this process, which has imported everything: 3 s faster than a program."""

    def __init__(self, command: Sequence[str | Path], console: Path, environment: Mapping[str, str]) -> None:
        with appended(console):
            pass
        words = [str(word) for word in command[3:]]
        parent = os.getpid()
        self.process = os.fork()
        if self.process == 0:
            _be({"words": words, "console": str(console), "environment": dict(environment)}, parent)

    def poll(self) -> int | None:
        return reaped(self.process)

    def send(self, number: int) -> None:
        os.kill(self.process, number)

    def kill(self) -> None:
        os.killpg(self.process, signal.SIGKILL)


@pytest.fixture
def forked_jobs(imported: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the jobs of a sweep be forks."""
    monkeypatch.setattr("segfield.run.execute_sweep.Child", ForkedJob)


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start train.py in a process of its own, apart("-m", ..., NAME="of its environment"), which ends with the test."""
    made = []

    def start(*words: str, **environment: str) -> subprocess.Popen[str]:
        project = Path(__file__).resolve().parents[2]
        every = {**os.environ, "PYTHONPATH": str(project / "src"), **environment}
        command = [sys.executable, project / "train.py", *words]
        made.append(
            subprocess.Popen(
                command, env=every, text=True, stderr=subprocess.PIPE, start_new_session=True, cwd=tmp_path
            )
        )
        return made[-1]

    yield start
    for process in made:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def until() -> Callable[[Callable[[], Any], subprocess.Popen[str]], None]:
    """Wait for something to become true while a process lives: until(condition, process)."""

    def wait(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 180
        while not condition():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)

    return wait


@pytest.fixture
def steps() -> Callable[[Path], int]:
    """Count the lines of a run's trace.csv: its steps and one more."""

    def count(run: Path) -> int:
        return (run / "trace.csv").read_text().count("\n") if (run / "trace.csv").exists() else 0

    return count
