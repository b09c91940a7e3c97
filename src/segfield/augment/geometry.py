"""Where pixels move to: affine maps and elastic deformation, drawn per sample; nothing is moved here.

Positions are (column, row) in pixels from the centre of the picture, so a rotation keeps angles and lengths in pictures
that are not square.
"""

import math
from collections.abc import Sequence
from typing import final

import numpy as np

from segfield.augment.draws import AFFINE, ELASTIC, Draws, Floats, checked_probability, checked_range


@final
class Affine:
    """Shear, scale, rotate and shift samples, in this order, about the centre of the picture.

    Args:
        probability: that a sample is changed.
        rotation: [low, high] in degrees, anticlockwise.
        scale: [low, high], of both sides; above 1 things grow.
        shift: [low, high] as a share of the side, drawn for columns (to the right) and rows (down) apart.
        shear: [low, high] in degrees by which the vertical leans to the left.

    Raises:
        ValueError: if the probability is outside [0, 1], or a range is descending or out of bounds.
    """

    def __init__(
        self,
        probability: float = 0.5,
        rotation: Sequence[float] = (0.0, 0.0),
        scale: Sequence[float] = (1.0, 1.0),
        shift: Sequence[float] = (0.0, 0.0),
        shear: Sequence[float] = (0.0, 0.0),
    ) -> None:
        key = "augmentation.affine"
        self.probability = checked_probability(f"{key}.probability", probability)
        self.rotation = checked_range(f"{key}.rotation", rotation, (-180, 180), "in degrees", (-15, 15))
        self.scale = checked_range(f"{key}.scale", scale, (0.1, 10), "a factor of both sides", (0.9, 1.1))
        self.shift = checked_range(f"{key}.shift", shift, (-1, 1), "a share of the side", (-0.1, 0.1))
        self.shear = checked_range(f"{key}.shear", shear, (-60, 60), "in degrees", (-5, 5))

    def sources(self, draws: Draws, size: tuple[int, int]) -> Floats:
        """Draw the maps from a changed picture back to the sample.

        Args:
            draws: of N samples.
            size: (H, W).

        Returns:
            [N, 2, 3]; source = map @ (column, row, 1). Exactly the identity where the sample is not changed.
        """
        low, high = np.array([self.rotation, self.scale, self.shift, self.shift, self.shear]).T
        drawn = draws.uniform(AFFINE, 6)
        amounts = low + drawn[:, 1:] * (high - low)
        maps = [_inverse(row, size) for row in amounts.tolist()]
        chosen = drawn[:, 0] < self.probability
        return np.where(chosen[:, None, None], np.array(maps).reshape(-1, 2, 3), np.eye(2, 3))


def _inverse(amounts: Sequence[float], size: tuple[int, int]) -> list[list[float]]:
    """Return the map [2, 3] that undoes a shear, then a scale, then a rotation, then a shift."""
    rotation, scale, right, down, shear = amounts
    # Python's own functions: numpy's may differ in the last bit with the length of the array, so with the batch.
    cos, sin = math.cos(math.radians(rotation)) / scale, math.sin(math.radians(rotation)) / scale
    lean = math.tan(math.radians(shear))
    # Rows point down: an anticlockwise turn takes (1, 0) to (cos, -sin), and its inverse is the transposed matrix.
    linear = ((cos - lean * sin, -sin - lean * cos), (sin, cos))
    x, y = right * size[1], down * size[0]
    return [[a, b, -(a * x + b * y)] for a, b in linear]


@final
class Elastic:
    """Deform samples smoothly: random displacements of a coarse grid of points, bicubic in between.

    Args:
        probability: that a sample is changed.
        points: of the grid, along each side; the outermost are the centres of the corner pixels.
        sigma: standard deviation of a point's displacement, along each axis, in pixels of the working size.

    Raises:
        ValueError: if the probability is outside [0, 1], there are fewer than 2 points, or sigma is negative.

    Reference: Ronneberger et al. 2015, section 3.1, arXiv 1505.04597: 3 points, sigma 10, pictures 512x512.
    """

    def __init__(self, probability: float = 1.0, points: int = 3, sigma: float = 10.0) -> None:
        self.probability = checked_probability("augmentation.elastic.probability", probability)
        if not 2 <= points <= 32:
            raise ValueError(f"augmentation.elastic.points={points}: a side has 2 to 32 points. Use 3.")
        if not 0 <= sigma < math.inf:
            raise ValueError(f"augmentation.elastic.sigma={sigma} is a deviation in pixels, 0 or more. Use 10.")
        self.points, self.sigma = points, sigma

    def displacements(self, draws: Draws, size: tuple[int, int]) -> Floats:
        """Draw how far the points move.

        Args:
            draws: of N samples.
            size: (H, W).

        Returns:
            [N, 2, points, points]: columns and rows, in pixels. Exactly 0 where the sample is not changed.

        Raises:
            ValueError: if sigma is more than the distance of two points: the picture would be crumpled.
        """
        distance = (min(size) - 1) / (self.points - 1)
        if self.sigma > distance:
            raise ValueError(
                f"augmentation.elastic.sigma={self.sigma:g} is more than the {distance:g} pixels between two of the "
                f"{self.points} points along the short side of {size[0]}x{size[1]}: the picture would be crumpled. "
                f"Use augmentation.elastic.sigma={distance / 5:.2g}, or ~augmentation.elastic."
            )
        shape = (2, self.points, self.points)
        drawn = [(one.random() < self.probability, one.standard_normal(shape)) for one in draws.generators(ELASTIC)]
        moved = [normal * (self.sigma if chosen else 0.0) for chosen, normal in drawn]
        return np.array(moved).reshape(-1, *shape)
