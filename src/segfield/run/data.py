"""Which data a run uses: splits.csv and data.csv, written by its first execution and held to by every later one."""

import csv
import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segfield.data import fingerprint
from segfield.files import write_text

if TYPE_CHECKING:
    from segfield.data.module import PixelwiseData

SPLITS = Path("splits.csv")
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


def share_data(data: "PixelwiseData") -> None:
    """List the data with the split that another rank has held it to; its files are those that it has hashed."""
    data.keep_split(_rows())
    data.setup()
    data.keep_fingerprint(fingerprint.read_table(fingerprint.FINGERPRINT))


def _rows() -> list[tuple[str, str, str]]:
    with SPLITS.open(newline="") as file:
        header, *rows = [tuple(row) for row in csv.reader(file)] or [()]
    if header != _HEADER or any(len(row) != 3 for row in rows):
        raise ValueError("splits.csv is damaged: its rows are id,group,part. Restore it from a copy of the run.")
    return [(row[0], row[1], row[2]) for row in rows]
