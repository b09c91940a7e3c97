"""lock.json: one execution of a run folder at a time, on machines that share the file's lock."""

import contextlib
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path


class LockedError(ValueError):
    """The folder is being executed by a live process."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system gives it back when the process ends, however it ends.

    A POSIX lock, not flock: loaders' workers would inherit that one and outlive a killed run by some seconds.

    Raises:
        LockedError: if another process holds it; nothing is changed then.
    """
    with (folder / "lock.json").open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            raise LockedError(
                f"{folder} is being executed already, by {file.read().strip() or 'another process'}. Wait for its end, "
                "or stop it; for a second run choose another folder."
            ) from error
        file.truncate(0)
        json.dump({"pid": os.getpid(), "host": platform.node()}, file)
        file.flush()
        yield
