"""Which data a run uses: splits.csv, data.csv and statistics.npz.

They are written by its first execution, and every later one is held to them.
"""

import contextlib
import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segfield.data import fingerprint
from segfield.files import whole, write_text

if TYPE_CHECKING:
    from segfield.data.module import PixelwiseData

SPLITS = Path("splits.csv")
STATISTICS = Path("statistics.npz")  # of data that learns of its training part, see data/hooks.py
_HEADER = ("id", "group", "part")


def hold_data(data: "PixelwiseData", entries: list[dict[str, Any]]) -> None:
    """List the data, split as splits.csv of the current folder says where it stands, and compare with data.csv.

    Args:
        data: not yet set up.
        entries: of environment.yaml, the oldest first.

    Raises:
        ValueError: if splits.csv, a sample or a file is not what the run began with.
        FileNotFoundError: if the data is gone.
    """
    if SPLITS.exists():
        recorded = entries[-1].get("splits_sha256") if entries else None
        if recorded and hashlib.sha256(SPLITS.read_bytes()).hexdigest() != recorded:
            raise ValueError(
                "splits.csv is not the one that this run began with: its sha256 differs from environment.yaml's. "
                "Restore it from a copy of the run, or start a new run."
            )
        data.keep_split(_rows())
    data.setup()
    if not SPLITS.exists():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([_HEADER, *data.split_table()])
        write_text(SPLITS, text.getvalue())
    now, path = data.fingerprint(), Path(fingerprint.FINGERPRINT)
    if not path.exists():
        fingerprint.write_table(path, now)
    elif changes := fingerprint.drift(fingerprint.read_table(path), now):
        raise ValueError(
            f"The data is not what this run began with, {len(changes)} files differ: {'; '.join(changes[:5])}. "
            "Give the data of the beginning back, or start a new run."
        )
    if not _keep_statistics(data) and (learned := data.statistics()):
        with whole(STATISTICS) as file:
            np.savez(file, **learned)  # type: ignore[arg-type]  # mypy takes a name for allow_pickle


def _keep_statistics(data: "PixelwiseData") -> bool:
    """Give the data the statistics of the current folder, if it has any."""
    if not STATISTICS.exists():
        return False
    with _naming_statistics():
        data.keep_statistics(_read_statistics())
    return True


def learned() -> dict[str, np.ndarray]:
    """Return what the run of the current folder learned of its training part.

    Raises:
        FileNotFoundError: if nobody knows.
        ValueError: if the file is damaged.
    """
    if not STATISTICS.exists():
        raise FileNotFoundError(
            f"{STATISTICS.absolute()} is not there: it says what the run learned of its training part. Restore it from "
            "a copy of the run, or python -m segfield evaluate <run> computes it again."
        )
    with _naming_statistics():
        return _read_statistics()


def _read_statistics() -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(STATISTICS):  # of another file np.load makes something else, or leaves it open
        raise ValueError("it is no .npz, or cut short")
    with np.load(STATISTICS, allow_pickle=False) as saved:
        return {name: saved[name] for name in saved.files}


@contextlib.contextmanager
def _naming_statistics() -> Iterator[None]:
    """Say what is wrong with the file."""
    try:
        yield
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{STATISTICS} is not what this run learned of its training part: {error}. Restore it from a copy of the "
            "run, or remove it, and it is computed again."
        ) from error


def share_data(data: "PixelwiseData") -> None:
    """List the data with the split that another rank has held it to; files and statistics are as that one has them."""
    data.keep_split(_rows())
    data.setup()
    data.keep_fingerprint(fingerprint.read_table(fingerprint.FINGERPRINT))
    _keep_statistics(data)


def keep_own_split(data: "PixelwiseData", folder: Path) -> None:
    """Let data that is only tried out take the split of a run folder that has one: its split_file may be gone.

    Raises:
        ValueError: if splits.csv is damaged.
    """
    if data.split_file is not None and (folder / SPLITS).exists():
        data.keep_split(_rows(folder))


def _rows(folder: Path = Path()) -> list[tuple[str, str, str]]:
    with (folder / SPLITS).open(newline="") as file:
        header, *rows = [tuple(row) for row in csv.reader(file)] or [()]
    if header != _HEADER or any(len(row) != 3 for row in rows):
        raise ValueError("splits.csv is damaged: its rows are id,group,part. Restore it from a copy of the run.")
    return [(row[0], row[1], row[2]) for row in rows]
