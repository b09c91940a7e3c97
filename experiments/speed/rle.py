"""What a run-length row of a submission costs: rle.encode against the concatenating way that notebooks have.

python experiments/speed/rle.py [masks=8] [turns=30]

The masks are cars of `prepare demo carvana` at the competition's size, 1918x1280. Both ways take turns on the same
masks in one process and must write the same. Wanted: 0.6 ms a mask at most, and at least twice as fast.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from segfield.data import rle
from segfield.data.demo import prepare_carvana
from segfield.data.images import read_mask


def concatenating(mask: np.ndarray) -> str:
    """Encode as public notebooks do: a border put on by np.concatenate, then comparisons."""
    pixels = np.concatenate([[0], mask.flatten(), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(number) for number in runs)


def milliseconds(encode: Callable[[np.ndarray], str], mask: np.ndarray) -> float:
    """Time one mask."""
    start = time.perf_counter()
    encode(mask)
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    """Encode every mask with both ways in turn."""
    settings = {"masks": 8, "turns": 30}
    settings |= {key: int(value) for key, value in (word.split("=") for word in sys.argv[1:])}
    with tempfile.TemporaryDirectory() as folder:
        prepare_carvana(folder, cars=1, views=settings["masks"], test_cars=0)
        masks = [read_mask(path) for path in sorted(Path(folder, "train_masks").iterdir())]
    ways = {"segfield": rle.encode, "concatenating": concatenating}
    assert all(rle.encode(mask) == concatenating(mask) for mask in masks), "the two ways differ"
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(settings["turns"]):
        for mask in masks:
            for name, encode in ways.items():
                times[name].append(milliseconds(encode, mask))
    runs = [len(rle.encode(mask).split()) // 2 for mask in masks]
    shares = [mask.mean() for mask in masks]
    print(f"{len(masks)} masks of {masks[0].shape[1]}x{masks[0].shape[0]}, {min(runs)} to {max(runs)} runs, foreground")
    print(f"  {min(shares):.0%} to {max(shares):.0%}; the two ways write the same")
    for name, found in times.items():
        print(f"{name}: median {np.median(found):.3f} ms a mask, slowest tenth from {np.quantile(found, 0.9):.3f}")
    print(f"ratio of the medians: {np.median(times['concatenating']) / np.median(times['segfield']):.1f}")


if __name__ == "__main__":
    main()
