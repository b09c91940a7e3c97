"""What a run-length row of a submission costs: rle.encode against the concatenating way that notebooks have.

python experiments/speed/rle.py [masks=8] [turns=30] [size=1280,1918]

The masks are cars of `prepare demo carvana` at the competition's size, with a ragged outline put on them so that they
have as many runs as hand-drawn ones. Both ways take turns on the same masks in one process and must write the same.
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from segfield.data import demo_car, rle


def concatenating(mask: np.ndarray) -> str:
    """Encode as most public notebooks do: a border put on by np.concatenate, then comparisons."""
    pixels = np.concatenate([[0], mask.flatten(), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(number) for number in runs)


def _milliseconds(encode: Callable[[np.ndarray], str], mask: np.ndarray) -> float:
    start = time.perf_counter()
    encode(mask)
    return 1e3 * (time.perf_counter() - start)
