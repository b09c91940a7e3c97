"""The folder of one cache: who builds it, who waits, who uses it, and whether there is room.

A file in it is locked: shared by who uses it, exclusively by who builds or deletes it; the system gives a lock back
when its holder dies. A folder that nobody holds and that is not whole is rebuilt; in memory, deleted.
"""

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SHARED_MEMORY = Path("/dev/shm")
_LOCK = "lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_LOOK, _FIRST_WORD, _NEXT_WORD = 0.05, 1.0, 30.0  # [s] between two looks; until the log is told of waiting, and again

_log = logging.getLogger(__name__)


def default_folder() -> Path:
    """Return where caches lie on a disk: $SEGFIELD_CACHE, else ~/.cache/segfield."""
    return Path(os.environ.get("SEGFIELD_CACHE") or "~/.cache/segfield").expanduser().absolute()


def memory_folder() -> Path:
    """Return this user's folder in shared memory.

    Raises:
        ValueError: if the system has none.
    """
    if not SHARED_MEMORY.is_dir():
        raise ValueError(
            f"data.cache=memory needs {SHARED_MEMORY}, memory that processes share, and this system has none. "
            "Use data.cache=disk: what is read again and again stays in memory too."
        )
    folder = SHARED_MEMORY / f"segfield-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise ValueError(f"{folder} is another user's. Delete it, or use data.cache=disk.")
    return folder


def free_memory() -> int:
    """Return the bytes that shared memory can take without swapping."""
    free = shutil.disk_usage(SHARED_MEMORY).free
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return min(free, int(available.split()[1]) * 1024)
    return free


def taken(folder: Path, find: Callable[[], T | None], build: Callable[[], None]) -> tuple[T, int]:
    """Return what the folder holds; build it before where nobody has.

    Args:
        folder: of the cache; made if need be.
        find: returns what is there, None where it is not whole.
        build: makes it, in the folder; one process at a time.

    Returns:
        What find() gave, and an open file whose shared lock keeps the folder from deletion until it is closed.
    """
    started = told = time.monotonic()
    while True:
        with _lock_file(folder) as (file, stays):
            for kind in (fcntl.LOCK_SH, fcntl.LOCK_EX):
                held = _locked(file, kind)
                if held is not False and _is(file, folder):
                    if (found := find()) is None and (kind == fcntl.LOCK_EX or held is None):
                        build()
                        found = find()
                    if found is not None and (held is None or (_locked(file, fcntl.LOCK_SH) and _is(file, folder))):
                        stays.pop_all()
                        return found, file
        now = time.monotonic()
        if now - started >= _FIRST_WORD and (told == started or now - told >= _NEXT_WORD):
            _log.info("waiting for another process to build the data cache %s, %.0f s so far", folder, now - started)
            told = now
        time.sleep(_LOOK)


@contextlib.contextmanager
def _lock_file(folder: Path) -> Iterator[tuple[int, contextlib.ExitStack]]:
    file = _opened(folder)
    with contextlib.ExitStack() as stays:
        stays.callback(os.close, file)
        yield file, stays


def _opened(folder: Path, tries: int = 100) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError:  # another user's, who let others read
        return os.open(folder / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # its last user has deleted the folder just now
        if not tries:
            raise
        return _opened(folder, tries - 1)


def _locked(file: int, kind: int) -> bool | None:
    """Take a lock, in place of another one of this file; None where the file system has none."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        if not isinstance(error, BlockingIOError):
            raise
        return False
    return True


def _is(file: int, folder: Path) -> bool:
    """Tell whether an open lock is the folder's: the folder may have been deleted, and made anew, in between."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), (folder / _LOCK).stat())
    return False


def leave(folder: Path, file: int, process: int) -> None:
    """Stop using a folder in memory, and delete it where nobody else uses it.

    Args:
        folder: of taken().
        file: of taken().
        process: that has taken it: a fork of it leaves nothing.
    """
    if os.getpid() == process:
        if _locked(file, fcntl.LOCK_EX):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(file)


def clear_left(place: Path, but: Path) -> None:
    """Delete the folders in memory that killed processes have left.

    Args:
        place: of the folders.
        but: one that is about to be used.
    """
    for folder in place.iterdir():
        if folder != but and (folder / _LOCK).exists():
            with contextlib.suppress(OSError), _lock_file(folder) as (file, _):
                if _locked(file, fcntl.LOCK_EX) and _is(file, folder):
                    _log.info("deleting %s, a data cache that nobody uses", folder)
                    shutil.rmtree(folder, ignore_errors=True)
