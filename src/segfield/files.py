"""Files are written whole: a reader, also after a kill, sees the old content or the new one, never a part.

Below every other room, like spatial; knows the standard library only.
"""

import contextlib
import errno
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

_log = logging.getLogger(__name__)
_DAMAGED = "%s begins with %r instead of %s: it is kept as %s, and a new one begins with this step"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its place when the block ends without an error.

    The content is on the disk (fsync) before the name changes hands. After an error the temporary file is gone
    and `path` is what it was.

    Raises:
        OSError: if the disk is full or the folder cannot be written; the message names the file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


class Disk:
    """A file for HDF5, which crashes where a write fails: here none does, and check() raises the first error."""

    def __init__(self, file: BinaryIO) -> None:
        self._number, self._at = file.fileno(), 0
        self._error: OSError | None = None

    def seek(self, to: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte from the start, from here, or from the end."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._number).st_size}
        self._at = origin[whence] + to
        return self._at

    def tell(self) -> int:
        """Return the byte that is next."""
        return self._at

    def read(self, size: int) -> bytes:
        """Read up to a number of bytes; h5py takes nothing without it for a file."""
        data = os.pread(self._number, size, self._at)
        self._at += len(data)
        return data

    def readinto(self, into: memoryview) -> int:
        """Read into a buffer; return how many bytes."""
        data = self.read(len(into))
        into[: len(data)] = data
        return len(data)

    def write(self, data: memoryview) -> int:
        """Write, unless that failed before."""
        end, left = self._at + len(data), memoryview(data)
        try:
            while len(left) and self._error is None:  # a disk that fills up takes a part first
                left = left[os.pwrite(self._number, left, end - len(left)) :]
        except OSError as error:
            self._error = error
        self._at = end
        return len(data)

    def truncate(self, size: int) -> int:
        """Set the size, unless a write failed before."""
        try:
            if self._error is None:
                os.ftruncate(self._number, size)
        except OSError as error:
            self._error = error
        return size

    def flush(self) -> None:
        """Do nothing: writes are not buffered."""

    def check(self) -> None:
        """Raise the first error that a write met.

        Raises:
            OSError: of that write.
        """
        if self._error is not None:
            raise self._error


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file could not be written, and what to do where there is no room."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch.save runs into a second error, about its own format, while it handles the first.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError) or cause.errno not in _NO_ROOM:
            raise
        again = "Make room, then give the same command again (a sweep's with hydra.launcher.retry_failed=true)."
        reason = f"{cause.strerror}: {path} cannot be written. {again}"
        raise OSError(cause.errno, reason) from error


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole, as UTF-8."""
    with whole(path) as file:
        file.write(text.encode())


def append_lines(path: str | Path, lines: list[str]) -> None:
    """Append complete lines with one write.

    A line that a kill cut short is ended first, so that it never runs into the next one.

    Raises:
        OSError: as whole(); some of the lines may then be there.
    """
    path = Path(path)
    data = "".join(f"{line}\n" for line in lines).encode()
    with _naming(path), path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                data = b"\n" + data
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def cut_rows(path: str | Path, names: Sequence[str], limit: int, apart: Sequence[str] = ("step",)) -> list[int]:
    """Keep a CSV's header and the rows whose `step` is below `limit`, each once; drop broken rows too.

    A file that is not there is made. One with another header, which a hand or a disk has damaged, is put aside whole as
    <name>.damaged, and a new one is made.

    Args:
        path: of the file.
        names: of its columns; one is `step`, a whole number.
        limit: first step that is not kept.
        apart: columns of which no two rows have the same values.

    Returns:
        The steps of the rows that are there, in the order of the file.
    """
    path = Path(path)
    header, *rows = path.read_text(errors="replace").splitlines() or [""] if path.exists() else [""]
    if header.split(",") != list(names):
        if rows or header:
            aside = path.with_name(f"{path.name}.damaged")
            path.replace(aside)
            _log.warning(_DAMAGED, path, header, ",".join(names), aside.name)
        rows = []
    place, keys = names.index("step"), [names.index(name) for name in apart]
    kept: dict[tuple[float, ...], tuple[int, str]] = {}
    for row in rows:
        cells = row.split(",")
        whole_row = len(cells) == len(names) and cells[place].isdecimal() and all(map(_is_number, cells))
        if whole_row and int(cells[place]) < limit:
            kept.setdefault(tuple(float(cells[key] or 0) for key in keys), (int(cells[place]), row))
    write_text(path, "".join(f"{row}\n" for row in [",".join(names), *(row for _, row in kept.values())]))
    return [step for step, _ in kept.values()]


def _is_number(cell: str) -> bool:
    """Accept a number, inf and nan, and no value at all."""
    try:
        float(cell or 0)
    except ValueError:
        return False
    return True


def clear_temporaries(folder: str | Path) -> None:
    """Delete what a killed process left behind in `folder`: temporary files of whole()."""
    for stale in Path(folder).glob(".*.tmp"):
        stale.unlink(missing_ok=True)


def write_new(path: str | Path, text: str) -> bool:
    """Write a text file whole where none stands yet, and return whether that was so: of two writers one wins."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.new.{os.getpid()}.tmp")
    write_text(beside, text)
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        with contextlib.suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
            file.write(text)
            return True
        return False
    finally:
        beside.unlink(missing_ok=True)
    return True
