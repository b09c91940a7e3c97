"""n child processes at once, each in a session of its own, which a Ctrl-C of the terminal does not reach by itself.

Signals come to this process and are sent on: the first ends each child in its own good time and starts no other, the
second is sent on too, from the third on children are killed with everything that they started. Knows nothing of runs.
"""

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Generic, NamedTuple, Protocol, TypeVar, final

from segfield.processes import die_with_parent

PARENT = "SEGFIELD_PARENT"  # environment of a child: the process that started it
TICK = 0.1  # [s] between two looks at the children
_HARD = 3  # signals until children are killed

T = TypeVar("T")


class Process(Protocol):
    """A child process that runs."""

    def poll(self) -> int | None:
        """Return its exit code, negative for the signal that killed it; None while it runs."""

    def send(self, number: int) -> None:
        """Send it a signal; to it alone, its own children are its affair."""

    def kill(self) -> None:
        """Kill it with everything in its session."""


class Event(NamedTuple, Generic[T]):
    """Of an item: started, or ended, with its exit code and, where it did not even start, why. No item: time passed."""

    item: T | None = None
    code: int | None = None
    why: str = ""


@final
class Child:
    """A program in a child process, with both of its outputs appended to a file.

    Args:
        command: program and arguments.
        console: the file; neither a link nor a pipe.
        environment: added to this process's own.

    Raises:
        OSError: if it cannot be started, or the file cannot be written.
    """

    def __init__(self, command: Sequence[str | Path], console: Path, environment: Mapping[str, str]) -> None:
        every = {**os.environ, **environment, PARENT: str(os.getpid())}
        with appended(console) as file:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=every, start_new_session=True
            )

    def poll(self) -> int | None:
        """See Process."""
        if self._process.returncode is None:
            self._process.returncode = reaped(self._process.pid)
        return self._process.returncode

    def send(self, number: int) -> None:
        """See Process."""
        if self._process.returncode is None:  # not reaped: the number is still its own
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """See Process."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)


@contextlib.contextmanager
def appended(path: Path) -> Iterator[int]:
    """Open a plain file to append to, for a child."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    try:
        yield file
    finally:
        os.close(file)


def reaped(child: int) -> int | None:
    """Return the exit code of a child of this process that has ended; what a killed one left running is killed too."""
    if hasattr(os, "waitid"):  # while the dead child is not reaped, no other process can get its number
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None and ended.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
    found, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def follow_parent() -> bool:
    """In a child of a pool: end by SIGTERM when the parent dies, and show where a crash happens.

    Returns:
        Whether the parent lives; True for any other process.
    """
    parent = os.environ.pop(PARENT, None)  # not for the children of this one
    if parent is None:
        return True
    die_with_parent(signal.SIGTERM)
    with contextlib.suppress(ValueError, OSError):  # stderr without a file
        faulthandler.enable(sys.stderr, all_threads=False)
    return parent == str(os.getppid())  # it may have died before the line above


@final
class Pool(Generic[T]):
    """Runs items in slots; `received` holds the signals that came.

    Args:
        slots: items at once.
        start: starts one in a slot, counted from 0.
    """

    def __init__(self, slots: int, start: Callable[[T, int], Process]) -> None:
        self.received: list[int] = []
        self._start = start
        self._free = list(range(slots))
        self._running: dict[int, tuple[T, Process]] = {}
        self._sent = 0

    def run(self, waiting: Sequence[T], ready: Callable[[T], bool]) -> Iterator[Event[T]]:
        """Run all items in order, and yield what happens; an event without an item each TICK.

        Args:
            waiting: the items.
            ready: tells whether one can start now; others go before one that cannot.
        """
        left = list(waiting)
        with self._listening():
            try:
                while self._running or (left and not self.received):
                    yield from self._started(left, ready)
                    self._send_on()
                    yield from self._ended()
                    yield Event()
                    time.sleep(TICK)
            finally:  # of an error of the caller's
                for _, process in self._running.values():
                    with contextlib.suppress(OSError):
                        process.send(signal.SIGTERM)

    def _started(self, left: list[T], ready: Callable[[T], bool]) -> Iterator[Event[T]]:
        while self._free and left and not self.received:
            item = next((item for item in left if ready(item)), None)
            if item is None:
                return
            left.remove(item)
            slot = min(self._free)
            try:
                process = self._start(item, slot)
            except OSError as error:
                yield Event(item, code=1, why=str(error))
                continue
            self._free.remove(slot)
            self._running[slot] = item, process
            yield Event(item)

    def _ended(self) -> Iterator[Event[T]]:
        for slot, (item, process) in list(self._running.items()):
            code = process.poll()
            if code is not None:
                del self._running[slot]
                self._free.append(slot)
                yield Event(item, code)

    def _send_on(self) -> None:
        while self._sent < len(self.received):
            number = self.received[self._sent]
            self._sent += 1
            for _, process in self._running.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill() if self._sent >= _HARD else process.send(number)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # Python allows no other; the caller stops it
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:
            self.received.append(number)

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
