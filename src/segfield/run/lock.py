"""lock.json: one execution of a run folder at a time, also on machines that share the folder.

The system's lock decides. Where the file system has none, the heartbeat in lock.json does: its holder writes it every
10 s, and one that is older than 60 s is dead and is taken over. A mount that grants locks to its own host alone
(NFS with nolock or local_lock, Lustre with localflock) cannot be told from one that shares them: use it from one host.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import platform
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NAME = "lock.json"
BEAT, DEAD = 10.0, 60.0  # [s] between two heartbeats; until a silent holder counts as dead
SETTLE = 2.0  # [s] for rivals that take over at the same moment to have written too
_TRIES = 3  # alive() of another process may look just now
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_HELD = (errno.EACCES, errno.EAGAIN)

_log = logging.getLogger(__name__)
_held: dict[tuple[Path, int], str] = {}  # with the process: a fork holds nothing of what its parent holds


class LockedError(ValueError):
    """The folder cannot be executed now: a live process does it, or lock.json cannot be written."""


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Hold the folder's lock; the system gives it back when the process ends, however it ends.

    A POSIX lock, not flock: loaders' workers would inherit that one and outlive a killed run by some seconds. Its
    trap: it is gone as soon as this process closes any descriptor of lock.json. So nobody else opens the file here.

    Raises:
        LockedError: if another process (or thread) holds it, or lock.json cannot be written; nothing is changed then.
    """
    path, token = Path(folder).resolve() / NAME, secrets.token_hex(8)
    key = path, os.getpid()
    if _held.setdefault(key, token) != token:
        raise _busy(path, {"pid": os.getpid(), "host": platform.node()})
    try:
        with _taken(path, token) as file, _beating(path, file, token):
            yield
    finally:
        del _held[key]


def alive(folder: str | Path) -> bool:
    """Tell whether a live process executes the folder; it may be asked from anywhere, and changes nothing.

    A lock.json that may not be read counts as alive: it is someone else's.
    """
    path = Path(folder).resolve() / NAME
    if (path, os.getpid()) in _held:  # to open it here and close it again would give the lock back
        return True
    try:
        with _opened(path, os.O_RDONLY) as file:
            if _lock(file, fcntl.LOCK_SH):
                return False
    except FileNotFoundError:
        return False
    except OSError as error:
        return error.errno in _HELD
    return _beats(path)


@contextlib.contextmanager
def _opened(path: Path, mode: int) -> Iterator[int]:
    # Neither a link to elsewhere nor a pipe that waits for its other end.
    file = os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    try:
        yield file
    finally:
        os.close(file)


@contextlib.contextmanager
def _taken(path: Path, token: str) -> Iterator[int | None]:
    """Take the lock: the open file where the system has locks, None where the heartbeat decides."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_opened(path, os.O_RDWR | os.O_CREAT))
            by_system = _lock(file, fcntl.LOCK_EX, _TRIES)
            if by_system:
                _write(file, token)
            else:
                _take_over(path, token)
        except OSError as error:
            if error.errno in _HELD and error.filename is None:  # of the lock; a file that may not be opened has a name
                raise _busy(path, _read(path)) from error
            raise LockedError(
                f"{path} cannot be written: {error.strerror}. Expected a plain file in a folder that may be written. "
                "Delete what stands there, make the folder writable, or execute a copy of it."
            ) from error
        yield file if by_system else None


def _lock(file: int, kind: int, tries: int = 1) -> bool:
    """Take the system's lock; False where the file system has none. An OSError of _HELD: another process has it."""
    for left in reversed(range(tries)):
        try:
            fcntl.lockf(file, kind | fcntl.LOCK_NB)
            break
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            if not left or error.errno not in _HELD:
                raise
            time.sleep(0.1)
    return True


def _take_over(path: Path, token: str) -> None:
    """Take a folder by its heartbeat: the last of several rivals to write the file has it, the others step back."""
    found = _read(path)
    if _beats(path):
        raise _busy(path, found, f" Without locks of the file system its heartbeat decides, within {DEAD:.0f} s.")
    if found.get("token"):
        _log.warning("taking over from %s, which is dead", _shown(found))
    _rewrite(path, token)
    time.sleep(SETTLE)
    if (found := _read(path)).get("token") != token:
        raise _busy(path, found)


def _beats(path: Path) -> bool:
    """Tell whether the holder named in lock.json lives, as far as its heartbeat shows."""
    found = _read(path)
    pid = found.get("pid")
    if not found.get("token") or (found.get("host") == platform.node() and not _runs(pid)):
        return False
    try:
        # Both times are the file system's: clocks of hosts differ. Either sign: a clock may have gone backwards.
        return abs(_now(path.parent) - path.stat().st_mtime) <= DEAD
    except FileNotFoundError:
        return False


def _now(folder: Path) -> float:
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(b"?")
            return os.fstat(probe.fileno()).st_mtime
    except OSError:  # someone else's folder, only looked at
        return time.time()


def _runs(pid: Any) -> bool:
    """Tell whether a process of this host runs; this one holds nothing, so its own number is that of one before it."""
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError, TypeError) as error:
        return isinstance(error, PermissionError)
    return bool(pid not in (0, os.getpid()))


def _read(path: Path) -> dict[str, Any]:
    """Return what the holder wrote, nothing where it is absent or damaged. Not for who holds the system's lock."""
    try:
        with _opened(path, os.O_RDONLY) as file:
            found = json.loads(os.read(file, 4096))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(file: int, token: str) -> None:
    beat = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"pid": os.getpid(), "host": platform.node(), "beat": beat, "token": token}
    # In place and of one length: it needs no room on a full disk, and no reader finds the file empty.
    os.ftruncate(file, os.pwrite(file, json.dumps(entry).encode() + b"\n", 0))


def _rewrite(path: Path, token: str) -> None:
    with _opened(path, os.O_RDWR | os.O_CREAT) as file:  # closed again: other hosts see it then, on NFS
        _write(file, token)


@contextlib.contextmanager
def _beating(path: Path, file: int | None, token: str) -> Iterator[None]:
    """Keep the heartbeat going; at a clean end lock.json is left empty, so that nobody has to wait."""
    stop, owner = threading.Event(), os.getpid()
    beat = threading.Thread(target=_beat, args=(path, file, token, stop), name="heartbeat", daemon=True)
    beat.start()
    try:
        yield
    finally:
        if os.getpid() == owner:  # not in a fork that unwinds
            stop.set()
            beat.join()
            with contextlib.suppress(OSError):
                if file is not None:
                    os.ftruncate(file, 0)
                elif _read(path).get("token") == token:
                    with _opened(path, os.O_RDWR) as mine:
                        os.ftruncate(mine, 0)


def _beat(path: Path, file: int | None, token: str, stop: threading.Event) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))  # they are to wake the main thread
    said = False
    while not stop.wait(BEAT):
        try:
            if file is not None:
                _write(file, token)
                continue
            found = _read(path)
            if found.get("token", token) != token:
                _leave(found)
            _rewrite(path, token)
        except OSError as error:
            if not said:
                _log.warning("%s cannot be written: %s; another process may take this run over", path, error.strerror)
            said = True


def _leave(found: dict[str, Any]) -> None:
    """End this process at once: the folder is another's since this one was suspended, every further write harms it.

    No exception: on its way out callbacks would save, and status.json would tell of this process.
    """
    _log.critical("taken over by %s while this process was suspended; it ends without saving", _shown(found))
    os._exit(2)


def _busy(path: Path, found: dict[str, Any], why: str = "") -> LockedError:
    return LockedError(
        f"{path.parent} is being executed already, by {_shown(found)}.{why} Wait for its end, or stop it; "
        "for a second run choose another folder."
    )


def _shown(found: dict[str, Any]) -> str:
    if "pid" not in found:
        return "another process"
    beat = f", last sign of life {found['beat']}" if "beat" in found else ""
    return f"process {found['pid']} on {found.get('host')}{beat}"
