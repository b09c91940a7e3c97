"""Files are written whole: a reader, also after a kill, sees the old content or the new one, never a part.

Below every other room, like spatial; knows the standard library only.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

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
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


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
        reason = f"{cause.strerror}: {path} cannot be written. Make room, then give the same command again."
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


def cut_rows(path: str | Path, column: str, limit: int) -> None:
    """Keep a CSV's header and the rows whose integer `column` is below `limit`; drop broken rows too."""
    path = Path(path)
    if not path.exists():
        return
    header, *rows = path.read_text().splitlines() or [""]
    names = header.split(",")
    if column not in names:
        return
    place = names.index(column)
    kept = []
    for row in rows:
        cells = row.split(",")
        if len(cells) == len(names) and cells[place].isdigit() and int(cells[place]) < limit:
            kept.append(row)
    write_text(path, "".join(f"{row}\n" for row in [header, *kept]))


def clear_temporaries(folder: str | Path) -> None:
    """Delete what a killed process left behind in `folder`: temporary files of whole()."""
    for stale in Path(folder).glob(".*.tmp"):
        stale.unlink(missing_ok=True)
