"""How stored intensities become 0 .. 255: by the range of a slice, or of the volume that it belongs to.

Each channel by its own range: the sequences of an MRI have nothing in common but their pixels.
"""

from collections.abc import Iterable, Sequence

import numpy as np


def limits(slices: Iterable[np.ndarray], percentiles: Sequence[float]) -> np.ndarray:
    """Return the range of each channel, [C, 2], over all pixels of the slices [C, h, w], whose sizes may differ.

    Args:
        slices: of any numbers.
        percentiles: lower and upper, of the pixels; [0, 100] are the smallest and the largest value. Between two
            values the lower one counts.
    """
    pixels = np.concatenate([image.reshape(len(image), -1) for image in slices], axis=1)
    if tuple(percentiles) == (0, 100):
        ends = np.stack([pixels.min(axis=1), pixels.max(axis=1)], axis=1)
    else:  # of the stored values: interpolation between two int16 may overflow
        ends = np.percentile(pixels, percentiles, axis=1, method="inverted_cdf").T
    return np.asarray(ends, dtype=np.float64)


def stretched(image: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Map each channel of [C, h, w] from its range in ends [C, 2] to 0 .. 255, uint8; what lies outside is clipped.

    A channel whose range is one value becomes 0.
    """
    low, high = ends[:, :1, None], ends[:, 1:, None]
    scale = np.divide(255.0, high - low, out=np.zeros_like(low), where=high > low)
    grey = (image.astype(np.float32) - low.astype(np.float32)) * scale.astype(np.float32)  # int16 - int16 overflows
    return np.asarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
