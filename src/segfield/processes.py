"""How a process ends: with its parent, which the system does not do by itself, or by a signal.

Below every other room, like files; knows the standard library only.
"""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1  # of Linux's prctl
_SCHEDULERS = (signal.SIGUSR1, signal.SIGUSR2)
CODES = tuple(128 + number for number in (signal.SIGINT, signal.SIGTERM, *_SCHEDULERS))  # exit codes after signals


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """End this process by the signal when its parent dies (Linux); elsewhere do nothing.

    The parent is the thread that started this process: start processes from a thread that lives as long as they shall.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def scheduled() -> list[signal.Signals]:
    """Return the signals by which a scheduler's library (submitit) is told to requeue this process; often none.

    Such a library ignores SIGTERM: schedulers send it long before they kill, and do not requeue what left by itself.
    """
    return [number for number in _SCHEDULERS if callable(signal.getsignal(number))]
