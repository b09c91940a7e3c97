"""Random numbers of augmentation: each kind of change draws from its own stream of each sample.

A draw is a pure function of (seed, epoch, index) and of the stream's number. Every number of a stream is drawn whatever
the settings say, so that no probability or range moves another draw.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# One number for each kind of change, never used again: a changed number changes the draws of published runs.
FLIPS = 1
AFFINE = 2
ELASTIC = 3
BRIGHTNESS = 4
CONTRAST = 5
GAMMA = 6
HUE_SATURATION_VALUE = 7
TURNS = 8


@dataclass(frozen=True)
class Draws:
    """The streams of the samples of one batch in one epoch.

    Args:
        seed: at least 0.
        epoch: at least 0.
        indices: N positions of samples in their data set.
    """

    seed: int
    epoch: int
    indices: Sequence[int]

    def generators(self, stream: int) -> Iterator[np.random.Generator]:
        """Start a stream of each sample: (seed, stream) is Philox's key, (index, epoch) the top of its counter."""
        # Word 0 of the counter runs while numbers are drawn, so no two streams overlap.
        key = np.array([self.seed, stream], dtype=np.uint64)
        for index in self.indices:
            counter = np.array([0, index, self.epoch, 0], dtype=np.uint64)
            yield np.random.Generator(np.random.Philox(key=key, counter=counter))

    def uniform(self, stream: int, count: int) -> Floats:
        """Draw the first numbers of a stream for each sample: [N, count] in [0, 1)."""
        return np.array([generator.random(count) for generator in self.generators(stream)]).reshape(-1, count)


def checked_probability(name: str, probability: float) -> float:
    """Return the probability.

    Raises:
        ValueError: if it is outside [0, 1].
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"{name} is a probability in [0, 1]; got {probability}. Use 0.5, or 0 for never.")
    return probability


def checked_range(
    name: str, given: Sequence[float], bounds: tuple[float, float], unit: str, example: tuple[float, float]
) -> tuple[float, float]:
    """Return a range as (low, high).

    Raises:
        ValueError: if it is not two numbers in ascending order within the bounds.
    """
    if len(given) != 2 or not bounds[0] <= given[0] <= given[1] <= bounds[1]:
        raise ValueError(
            f"{name} is [low, high], {unit}, within [{bounds[0]:g}, {bounds[1]:g}]; got {list(given)}. "
            f"Use [{example[0]:g}, {example[1]:g}]."
        )
    return given[0], given[1]
