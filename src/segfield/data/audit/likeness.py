"""Images that are the same, or nearly: across parts of a split they make a score too good."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

NEAR = 4  # of 64 bits of the perceptual hash: at most so many differ; unrelated pictures differ in about 32
_AT_ONCE = 2**22  # distances of pairs that are held at a time: 32 MB
_MOST = 1000  # pairs that are named, the nearest first


class Near(NamedTuple):
    """Two images of different parts that look alike; `distance` in bits of 64."""

    first: int
    second: int
    distance: int


class NearPairs(NamedTuple):
    """Pairs across parts, the nearest first, and how many there are; and within a part."""

    pairs: list[Near]
    across: int
    within: int


def same(digests: Mapping[int, str]) -> list[list[int]]:
    """Return sets of two images and more with the same pixels, by their places."""
    found: dict[str, list[int]] = defaultdict(list)
    for place, digest in digests.items():
        found[digest].append(place)
    return [places for places in found.values() if len(places) > 1]


def near_pairs(hashes: Sequence[int], parts: Sequence[str], digests: Sequence[str], most: int = NEAR) -> NearPairs:
    """Compare every image with every other.

    Args:
        hashes: of 64 bits.
        parts: of the images.
        digests: of their pixels; pairs with equal ones are left to same().
        most: bits that may differ.
    """
    bits = np.array(hashes, dtype=np.uint64)
    part = np.unique(np.array(parts), return_inverse=True)[1]
    pixels = np.unique(np.array(digests), return_inverse=True)[1]
    pairs: list[Near] = []
    across = within = 0
    for rows, columns, distances in _close(bits, most):
        differ = pixels[rows] != pixels[columns]
        apart = differ & (part[rows] != part[columns])
        across += int(np.count_nonzero(apart))
        within += int(np.count_nonzero(differ & ~apart))
        nearest = np.flatnonzero(apart)[np.argsort(distances[apart], kind="stable")[:_MOST]]
        pairs += map(Near, rows[nearest].tolist(), columns[nearest].tolist(), distances[nearest].tolist())
        pairs = sorted(pairs, key=lambda pair: pair.distance)[:_MOST]
    return NearPairs(pairs, across, within)


def _close(bits: np.ndarray, most: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (rows, columns, distances) of the pairs that differ in at most so many bits, each pair once."""
    height = max(1, _AT_ONCE // max(len(bits), 1))
    for start in range(0, len(bits), height):
        block = bits[start : start + height]
        distances = np.bitwise_count(block[:, None] ^ bits[None, start:])
        rows, columns = np.nonzero(distances <= most)
        later = columns > rows
        rows, columns = rows[later], columns[later]
        yield rows + start, columns + start, distances[rows, columns]
