"""Run-length masks as Carvana writes them: pairs "start length", row by row, the first pixel is 1.

Source: Kaggle, Carvana Image Masking Challenge (2017), train_masks.csv and sample_submission.csv.
Exact at the first and the last pixel too, where codes that compare neighbours without a border fail.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_HEADER = "img,rle_mask"
_LONGEST = 2**26  # characters of a row; a mask of 1918x1280 pixels has 20,000, a chessboard of that size 11 million


def encode(mask: np.ndarray) -> str:
    """Write a mask as run lengths; an empty mask is an empty string.

    Args:
        mask: [H, W]; what is not 0 is foreground.
    """
    # A border of background before the first pixel and after the last one, to a whole number of words of 8 changes.
    inside = np.zeros(-(-(mask.size + 1) // 8) * 8 + 1, dtype=np.bool_)
    np.not_equal(mask.ravel(), 0, out=inside[1 : mask.size + 1])
    changes = inside[1:] != inside[:-1]
    words = np.flatnonzero(changes.view(np.uint64) != 0)  # few: the rest need not be looked at one by one
    word, place = np.nonzero(changes.reshape(-1, 8)[words])
    runs = words[word] * 8 + place  # start, end, start, end, ...
    runs[1::2] -= runs[::2]
    runs[::2] += 1
    return str(runs.tolist())[1:-1].replace(",", "")  # faster than join


def decode(rle: str, shape: Sequence[int]) -> np.ndarray:
    """Draw run lengths.

    Args:
        rle: as encode() writes it; runs that touch are fine.
        shape: [H, W] of the mask.

    Returns:
        [H, W] uint8 of {0, 1}.

    Raises:
        ValueError: if the numbers are no ascending runs within H x W pixels.
    """
    try:
        numbers = np.array(rle.split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"A run-length mask holds whole numbers only; found {_shortened(rle)}.") from error
    if len(numbers) % 2:
        raise ValueError(f"A run-length mask is pairs of start and length; found {len(numbers)} numbers, an odd count.")
    starts, lengths = numbers[::2] - 1, numbers[1::2]
    if len(starts) == 0:
        return np.zeros(tuple(shape), dtype=np.uint8)
    _check_runs(starts, lengths, shape)
    # Zeros up to the first run, ones through it, zeros up to the second, ...
    borders = np.stack([starts, starts + lengths], axis=1).ravel()
    counts = np.diff(borders, prepend=0, append=int(shape[0]) * int(shape[1]))
    values = (np.arange(len(counts)) % 2).astype(np.uint8)
    return np.repeat(values, counts).reshape(tuple(shape))


def _check_runs(starts: np.ndarray, lengths: np.ndarray, shape: Sequence[int]) -> None:
    """Check runs that count from 0."""
    pixels = int(shape[0]) * int(shape[1])
    if starts.min() < 0 or lengths.min() < 1:
        raise ValueError(
            "A run-length mask counts from 1 and its runs are at least 1 long; the smallest found are "
            f"start {starts.min() + 1}, length {lengths.min()}."
        )
    last = max(int(starts[-1]) + int(lengths[-1]), int(starts.max()) + 1, int(lengths.max()))  # no sum may overflow
    if last > pixels:
        raise ValueError(
            f"A run ends at pixel {last}, beyond the {pixels} pixels of {shape[0]}x{shape[1]} (HxW): "
            "the mask belongs to an image of another size."
        )
    wrong = np.flatnonzero(starts[1:] < starts[:-1] + lengths[:-1])
    if len(wrong):
        at = int(wrong[0])
        first, second = (f"{starts[i] + 1} {lengths[i]}" for i in (at, at + 1))
        how = "overlap" if starts[at + 1] >= starts[at] else "are not ascending"
        raise ValueError(f"Runs of a mask {how}: {first!r} is followed by {second!r}.")


def read_masks_csv(path: str | Path) -> dict[str, str]:
    """Read train_masks.csv.

    Returns:
        Run lengths by the image's file name.

    Raises:
        ValueError: if the file bears the name but is something else, has a broken or repeated row, or one whose image
            is no plain file name: nothing outside the folder can be meant.
    """
    masks: dict[str, str] = {}
    with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
        header = file.readline(200).strip()
        if header.replace('"', "") != _HEADER:
            pointer = header.startswith("version https://git-lfs")
            fix = "Fetch it with `git lfs pull`." if pointer else "Put the real file there, or remove this one."
            raise ValueError(
                f"{path} bears the name of Carvana's masks but is something else: its first line should be "
                f"{_HEADER!r}, found {_shortened(header)}. {fix}"
            )
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST + 1), ""), start=2):
            if len(line) > _LONGEST:
                raise ValueError(
                    f"{path}, line {number}: a row has more than {_LONGEST} characters, no mask has. It begins with "
                    f"{_shortened(line)}. Put the real file there, or remove this one."
                )
            name, comma, rle = line.strip().replace('"', "").partition(",")
            if not name and not comma:
                continue
            if not comma or not name or name in masks:
                raise ValueError(
                    f"{path}, line {number}: expected a new image's name, a comma and its run lengths; "
                    f"found {_shortened(line.strip())}{' again' if name in masks else ''}."
                )
            if name in (".", "..") or re.search(r"[/\\:\0]", name):
                raise ValueError(
                    f"{path}, line {number}: {_shortened(name)} is no plain file name; a row names a photograph beside "
                    "or below this file, without a folder. Put the real file there, or remove the row."
                )
            masks[name] = rle
    return masks


def _shortened(text: str, most: int = 60) -> str:
    return repr(text if len(text) <= most else text[:most] + "...")
