"""Sums over the samples of an audit: files, channels, classes, and the loss weights that these suggest."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from segfield.data.audit.measure import Channels, Measured

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_BINS = 64  # of a histogram in the report
_LISTED = 20  # sizes, modes or values that are listed, the most frequent first


def files(measured: Iterable[Measured]) -> dict[str, dict[str, dict[str, int]]]:
    """Count kinds, modes and sizes of files, by what they are to a sample: image, mask, ..."""
    counts: dict[str, dict[str, Counter[str]]] = {}
    for one in measured:
        for name, stored in one.files.items():
            kinds = counts.setdefault(name, {"kinds": Counter(), "modes": Counter(), "sizes": Counter()})
            kinds["kinds"][stored.kind] += 1
            if stored.size:
                kinds["modes"][stored.mode] += 1
                kinds["sizes"][f"{stored.size[0]}x{stored.size[1]}"] += 1
    return {name: {key: frequent(found) for key, found in kinds.items()} for name, kinds in counts.items()}


def frequent(counts: Counter[str]) -> dict[str, int]:
    """Return the most frequent ones; the others together as "others"."""
    shown = dict(counts.most_common(_LISTED))
    rest = sum(counts.values()) - sum(shown.values())
    return shown | ({"others": rest} if rest else {})


def channels(found: Sequence[Channels]) -> list[dict[str, Any]]:
    """Return mean, std, range, percentiles and a histogram of each channel; bytes count as value / 255.

    Mean and std are of all pixels together; percentiles of floats are of 512 pixels an image.
    """
    if not found:
        return []
    count = sum(one.pixels for one in found)
    mean = np.sum([one.total for one in found], axis=0) / count
    variance = np.sum([one.squares for one in found], axis=0) / count - mean**2
    least, most = np.min([one.least for one in found], axis=0), np.max([one.most for one in found], axis=0)
    std = np.sqrt(np.clip(variance, 0, None))
    bytes_only = all(one.values.dtype == np.int64 for one in found)
    rows = []
    for channel in range(len(mean)):
        if bytes_only:
            levels, weights = np.arange(256) / 255, np.sum([one.values[channel] for one in found], axis=0)
            percentiles = levels[np.searchsorted(np.cumsum(weights), np.array(_PERCENTILES) / 100 * weights.sum())]
        else:
            levels = np.concatenate([one.values[channel] for one in found if one.values.dtype != np.int64])
            weights, percentiles = None, np.percentile(levels, _PERCENTILES)
        low, high = (
            (0.0, 1.0) if bytes_only else (float(least[channel]), float(max(most[channel], least[channel] + 1e-6)))
        )
        bins, _ = np.histogram(levels, bins=_BINS, range=(low, high), weights=weights)
        rows.append(
            {
                "mean": float(mean[channel]),
                "std": float(std[channel]),
                "min": float(least[channel]),
                "max": float(most[channel]),
                "percentiles": dict(zip(map(str, _PERCENTILES), map(float, percentiles), strict=True)),
                "histogram": {"low": low, "high": high, "counts": [int(number) for number in bins]},
            }
        )
    return rows


def classes(found: Sequence[Measured], names: Sequence[str], count: int) -> list[dict[str, Any]]:
    """Return pixels and images of each class, and its weight by median frequency balancing.

    weight(c) = median of all f / f(c), where f(c) = pixels of c / pixels of the images that hold c.
    Reference: Eigen and Fergus 2015, section 6.3.2, arXiv 1411.4734.
    """
    table = np.array([one.classes for one in found if one.classes], dtype=np.int64).reshape(-1, count)
    pixels, per_image = table.sum(axis=0), table.sum(axis=1)
    images = np.count_nonzero(table, axis=0)
    around = ((table > 0) * per_image[:, None]).sum(axis=0)
    frequency = np.divide(pixels, around, out=np.zeros(count), where=around > 0)
    median = float(np.median(frequency[frequency > 0])) if images.any() else 0.0
    return [
        {
            "name": str(names[index]) if index < len(names) else str(index),
            "pixels": int(pixels[index]),
            "share": float(pixels[index] / max(pixels.sum(), 1)),
            "images": int(images[index]),
            "weight": round(float(median / frequency[index]), 4) if frequency[index] else None,
        }
        for index in range(count)
    ]


def weights(table: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Suggest loss weights, with their formula and what to type; nothing where a class is never met."""
    if not table or any(row["weight"] is None for row in table):
        return {}
    if len(table) == 2:
        share = table[1]["share"]
        return {
            "loss.pos_weight": round((1 - share) / share, 3),
            "formula": "background / foreground pixels, for a cross-entropy alone: a Dice term balances by itself",
        }
    found = [row["weight"] for row in table]
    return {
        "loss.class_weights": found,
        "formula": "median frequency balancing (Eigen and Fergus 2015, arXiv 1411.4734)",
    }


def shares(found: Sequence[Measured]) -> dict[str, Any]:
    """Return a histogram of the foreground's share per image, and how many images have none."""
    values = np.array([one.share for one in found])
    high = float(np.ceil(20 * max(values.max(initial=0), 0.05)) / 20)
    counts, _ = np.histogram(values, bins=50, range=(0.0, high))
    return {
        "empty": int(np.count_nonzero(values == 0)),
        "full": int(np.count_nonzero(values == 1)),
        "mean": float(values.mean()) if len(values) else 0.0,
        "histogram": {"low": 0.0, "high": high, "counts": counts.tolist()},
    }


def stored_values(found: Iterable[Measured]) -> dict[str, int]:
    """Count the mask files that hold each set of values."""
    kinds: Counter[str] = Counter()
    for one in found:
        if values := one.stored_values:
            kinds["{" + ", ".join(map(str, values)) + "}" if len(values) <= 8 else "more than 8 values"] += 1
    return frequent(kinds)
