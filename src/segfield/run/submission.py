"""submission.csv.gz as Kaggle's Carvana challenge takes it: `img,rle_mask`, a row per photograph."""

import contextlib
import gzip
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, final

import numpy as np

from segfield.data import rle
from segfield.files import whole

NAME = "submission.csv.gz"


def names(paths: Sequence[Path]) -> None:
    """Check that images can be told apart in a submission, where a name has no folder and ends in .jpg.

    Raises:
        ValueError: if two images share it.
    """
    twice = [name for name, number in Counter(f"{path.stem}.jpg" for path in paths).items() if number > 1]
    if twice:
        raise ValueError(
            f"{len(twice)} names stand twice in a submission, first {twice[0]}: its rows have no folders. Predict one "
            "folder at a time, or leave submission=true out."
        )


@final
class Submission:
    """Rows that are written one after the other; nothing of them stays in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._file.write(b"img,rle_mask\n")

    def add(self, path: Path, mask: np.ndarray | None) -> None:
        """Write the row of an image.

        Args:
            path: of the image.
            mask: [H, W], foreground is not 0; None, of an image that could not be read, is written as an empty one.
        """
        self._file.write(
            f"{path.stem}.jpg,{'' if mask is None else rle.encode(mask)}\n".encode(errors="surrogateescape")
        )


@contextlib.contextmanager
def submission(folder: Path) -> Iterator[Submission]:
    """Open a submission, which is in its place when the block ends without an error; the same rows give the same bytes.

    Args:
        folder: of the file.
    """
    # Level 6: run lengths are half as large as with 1, and a row takes less than its mask's PNG all the same.
    with whole(folder / NAME) as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        yield Submission(packed)  # type: ignore[arg-type]  # a file of bytes as far as it is used
