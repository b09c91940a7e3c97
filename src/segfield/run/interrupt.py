"""SIGTERM and SIGINT outside the steps: while a run is built, and while its last word is written.

Within the steps callbacks/signals.py saves first; it gives the handlers of here back when it is over. A scheduler's
signal ends a run in the same way, and is then handed to the library that waits for it. No signal ends an import:
extension modules turn what a handler raises there into an ImportError, which whoever looks for a package takes for
its absence; the signal is lost, and the next import of the half-made module fails. Work in libraries that do not bear
what a handler raises anywhere in them is stopped by patient().
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from types import FrameType
from typing import Any, final

from segfield.processes import scheduled

_BOTH = (signal.SIGINT, signal.SIGTERM)
_AGAIN = 0.05  # [s] until a signal that came in an import comes again
_LONGEST = 60.0  # [s] that it waits for imports


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the block with SystemExit(143), so that it can clean up as after Ctrl-C (KeyboardInterrupt).

    Both wait for the end of an import. A handler that stands already is the caller's and stays, as does everything
    outside the main thread. At the end all signals have their handlers of before: after a Ctrl-C in its setup
    Lightning 2.6.6 leaves SIGINT ignored. A scheduler's signal ends the block too, with SystemExit(128 + number); then
    its library's handler is called.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, told = {number: signal.getsignal(number) for number in (*_BOTH, *scheduled())}, scheduled()
    ours = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    stop = _Stop()
    for number in (*told, *(number for number, usual in ours.items() if before[number] == usual)):
        signal.signal(number, stop)
    try:
        yield
    except SystemExit as end:
        _restore(before)
        for number in told:
            if end.code == 128 + number:
                signal.raise_signal(number)
        raise
    finally:
        _restore(before)


@contextlib.contextmanager
def patient() -> Iterator[Callable[[], None]]:
    """Note signals, and yield a function that stops where it suits, as terminable() does; a second one does not wait.

    For work that calls Python from compiled code, as particles and NetCDF files do: an exception that a handler raises
    there ends the process by a segmentation fault, once in a hundred times.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        """Note the first signal; end by the second."""
        if came:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        came.append(number)

    def check() -> None:
        """Raise what the signal that came asks for."""
        if came:
            raise KeyboardInterrupt if came[0] == signal.SIGINT else SystemExit(128 + came[0])

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = {number: signal.signal(number, note) for number in _BOTH}
    try:
        yield check
    finally:
        _restore(dict(before))


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore signals while a run that is over writes how it ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Not blocked: the system would hand them to another thread, and Python runs a handler in the main one all the same.
    before = {n: signal.signal(n, signal.SIG_IGN) for n in (*_BOTH, *scheduled()) if signal.getsignal(n) is not None}
    try:
        yield
    finally:
        _restore(before)


def _restore(before: dict[signal.Signals, Any]) -> None:
    for number, handler in before.items():
        if handler is not None:  # None: not Python's
            signal.signal(number, handler)


@final
class _Stop:
    """A handler that raises KeyboardInterrupt after SIGINT and SystemExit after any other, once no import goes on."""

    def __init__(self) -> None:
        self._came: dict[int, float] = {}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        came = self._came.setdefault(number, monotonic())
        if _imports(frame) and monotonic() - came < _LONGEST:
            again = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        del self._came[number]
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _imports(frame: FrameType | None) -> bool:
    """Tell whether a frame is part of an import."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
