"""What the system does with a process whose parent dies: by default nothing, and it works on unseen.

Below every other room, like files; knows the standard library only.
"""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1  # of Linux's prctl


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """End this process by the signal when its parent dies (Linux); elsewhere do nothing.

    The parent is the thread that started this process: start processes from a thread that lives as long as they shall.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
