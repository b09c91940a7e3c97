"""Images that are the same, or nearly: across parts of a split they make a score too good."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

# Two pictures look alike where at most NEAR of the 64 bits of their perceptual hashes differ and their colours at 16x16
# correlate by ALIKE. Both are needed: before one background the hash takes one car for another. Copies that are
# compressed, resized, brighter or paler are within both, as are neighbouring slices of a brain.
NEAR, ALIKE = 8, 0.95
_AT_ONCE = 2**22  # distances of pairs that are held at a time: 32 MB
_COMPARED = 2**13  # pairs whose colours are compared at a time: 50 MB
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


def near_pairs(
    hashes: Sequence[int], parts: Sequence[str], digests: Sequence[str], small: Sequence[bytes]
) -> NearPairs:
    """Compare every image with every other.

    Args:
        hashes: of 64 bits.
        parts: of the images.
        digests: of their pixels; pairs with equal ones are left to same().
        small: their colours at 16x16.
    """
    if not hashes:
        return NearPairs([], 0, 0)
    bits = np.array(hashes, dtype=np.uint64)
    part = np.unique(np.array(parts), return_inverse=True)[1]
    pixels = np.unique(np.array(digests), return_inverse=True)[1]
    colours = _standardised(small)
    pairs: list[Near] = []
    across = within = 0
    for rows, columns, distances in _close(bits):
        differ = (pixels[rows] != pixels[columns]) & (_correlation(colours, rows, columns) >= ALIKE)
        apart = differ & (part[rows] != part[columns])
        across += int(np.count_nonzero(apart))
        within += int(np.count_nonzero(differ & ~apart))
        nearest = np.flatnonzero(apart)[np.argsort(distances[apart], kind="stable")[:_MOST]]
        pairs += map(Near, rows[nearest].tolist(), columns[nearest].tolist(), distances[nearest].tolist())
        pairs = sorted(pairs, key=lambda pair: pair.distance)[:_MOST]
    return NearPairs(pairs, across, within)


def _standardised(small: Sequence[bytes]) -> np.ndarray:
    """Return [N, n] float32 of mean 0 and length 1."""
    values = np.array([np.frombuffer(one, dtype=np.uint8) for one in small], dtype=np.float32).reshape(len(small), -1)
    values -= values.mean(axis=1, keepdims=True)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6))


def _correlation(colours: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    found = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _COMPARED):
        some = slice(start, start + _COMPARED)
        found[some] = np.einsum("ij,ij->i", colours[rows[some]], colours[columns[some]])
    return found


def _close(bits: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (rows, columns, distances) of the pairs that differ in at most NEAR bits, each pair once."""
    height = max(1, _AT_ONCE // max(len(bits), 1))
    for start in range(0, len(bits), height):
        block = bits[start : start + height]
        distances = np.bitwise_count(block[:, None] ^ bits[None, start:])
        rows, columns = np.nonzero(distances <= NEAR)
        later = columns > rows
        rows, columns = rows[later], columns[later]
        yield rows + start, columns + start, distances[rows, columns]
