"""SIGTERM and SIGINT outside the steps: while a run is built, and while its last word is written.

Within the steps callbacks/signals.py saves first; it gives the handlers of here back when it is over. A scheduler's
signal ends a run in the same way, and is then handed to the library that waits for it.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

from segfield.processes import scheduled

_BOTH = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the block with SystemExit(143), so that it can clean up as after Ctrl-C (KeyboardInterrupt).

    A handler that stands already is the caller's and stays, as does everything outside the main thread. At the end all
    signals have their handlers of before: after a Ctrl-C in its setup Lightning 2.6.6 leaves SIGINT ignored. A
    scheduler's signal ends the block too, with SystemExit(128 + number); then its library's handler is called.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, told = {number: signal.getsignal(number) for number in (*_BOTH, *scheduled())}, scheduled()
    for number in told if before[signal.SIGTERM] != signal.SIG_DFL else (*told, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        yield
    except SystemExit as stop:
        _restore(before)
        for number in told:
            if stop.code == 128 + number:
                signal.raise_signal(number)
        raise
    finally:
        _restore(before)


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


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
