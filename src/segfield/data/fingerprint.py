"""Which data a run saw: size and hash of every file that its samples are read from, and what has changed since.

A file is named as the same tree has it elsewhere. Data without files (blobs) is known by what is drawn.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from segfield.files import write_text

Row = tuple[str, str, int, str]  # id, file, bytes, sha256

FINGERPRINT = "data.csv"
_HEADER = ("id", "file", "bytes", "sha256")
UNREADABLE = "unreadable"  # in place of a hash
_DIGITS = 16  # of sha256: 64 bits, a changed file keeps them with probability 5e-20; a whole one doubles the table
_DRAWN = 32  # samples without files that are drawn and hashed
_THREADS = 8  # a disk answers several at once, and hashlib works without the interpreter's lock


def fingerprint(
    samples: Sequence[tuple[str, Mapping[str, Any]]],
    places: Mapping[Path, str],
    read: Callable[[int], Mapping[str, np.ndarray]],
    *,
    skip: bool = False,
    common: Sequence[Path] = (),
) -> list[Row]:
    """Hash what samples are read from, each file once.

    Args:
        samples: (id, attributes); a Path among the attributes is a file, a string is content that stands in a table.
        places: folders that files lie in, each with the name that is put before what lies there.
        read: arrays of a sample by its place in `samples`; asked where no sample has a file or content.
        skip: note a file that cannot be read as such instead of an error.
        common: files of all samples: one row each, of the id "*".

    Raises:
        OSError: if a file cannot be read; the message names it.
    """
    values = (value for _, attributes in samples for value in attributes.values())
    files = sorted({*common, *(value for value in values if isinstance(value, Path))})
    with ThreadPoolExecutor(_THREADS) as threads:
        found = dict(zip(files, threads.map(lambda path: _tried(path, skip=skip), files), strict=True))
    rows: list[Row] = [("*", named(path, places), *found[path]) for path in common]
    for id_, attributes in samples:
        for key, value in attributes.items():
            if isinstance(value, Path):
                rows.append((id_, named(value, places), *found[value]))
            elif isinstance(value, str):
                rows.append((id_, f"{key}, row of {id_}", len(value), _digits(hashlib.sha256(value.encode()))))
    if rows:
        return rows
    for index, (id_, _) in enumerate(samples[:_DRAWN]):
        try:
            rows.append((id_, f"drawn {id_}", *_drawn(read(index))))
        except (ValueError, OSError):
            if not skip:
                raise
            rows.append((id_, f"drawn {id_}", 0, UNREADABLE))
    return rows


def _tried(path: Path, *, skip: bool) -> tuple[int, str]:
    try:
        return hashed(path)
    except OSError as error:
        if skip:
            return 0, UNREADABLE
        raise OSError(
            error.errno,
            f"{error.strerror}: {path}. Give it back, or check its permissions and its disk. A new run with "
            "data.on_error=skip leaves its sample out, and counts it.",
        ) from error


def hashed(path: Path) -> tuple[int, str]:
    """Return bytes and hash of a file.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256")
        return file.tell(), _digits(content)


def _drawn(arrays: Mapping[str, np.ndarray]) -> tuple[int, str]:
    content = hashlib.sha256()
    for name in sorted(arrays):
        content.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        content.update(np.ascontiguousarray(arrays[name]).data)
    return sum(array.nbytes for array in arrays.values()), _digits(content)


def _digits(content: "hashlib._Hash") -> str:
    return content.hexdigest()[:_DIGITS]


def named(path: Path, places: Mapping[Path, str]) -> str:
    """Return a file's name in the table: relative to the folder that it lies in."""
    for place in sorted(places, key=lambda place: len(place.parts), reverse=True):  # masks may lie below the images
        if path.is_relative_to(place):
            return (Path(places[place]) / path.relative_to(place)).as_posix()
    return path.name


def write_table(path: str | Path, rows: Iterable[Row]) -> None:
    """Write data.csv whole."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_HEADER)
    table.writerows(rows)
    write_text(path, text.getvalue())


def read_table(path: str | Path) -> list[Row]:
    """Read data.csv.

    Raises:
        ValueError: if it is something else, or a row is broken.
    """
    rows: list[Row] = []
    with Path(path).open(newline="", encoding="utf-8", errors="replace") as file:
        table = csv.reader(file)
        try:
            for cells in table:
                if table.line_num == 1 and tuple(cells) == _HEADER:
                    continue
                if table.line_num == 1 or len(cells) != len(_HEADER) or not cells[2].isdecimal():
                    raise ValueError(f"found {','.join(cells)[:60]!r}")
                rows.append((cells[0], cells[1], int(cells[2]), cells[3]))
        except (ValueError, csv.Error) as error:
            raise ValueError(
                f"{path}, line {table.line_num}: expected {','.join(_HEADER)}, {error}. Restore it from a copy of "
                "the run."
            ) from error
    return rows


def drift(before: Iterable[Row], now: Iterable[Row]) -> list[str]:
    """Return a line for every file that differs: "changed: <file>", then "gone: <file>", then "new: <file>"."""
    old, new = ({file: rest for _, file, *rest in rows} for rows in (before, now))
    changed = [f"changed: {file}" for file in sorted(old) if file in new and old[file] != new[file]]
    gone = [f"gone: {file}" for file in sorted(old.keys() - new.keys())]
    return [*changed, *gone, *(f"new: {file}" for file in sorted(new.keys() - old.keys()))]
