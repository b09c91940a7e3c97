"""Changes of intensity and colour, by functions of kornia with an amount of ours for each sample.

Images are float in [0, 1] and stay so. Only the samples that are chosen are computed; the others keep their bits.
kornia is imported at the first change: 0.1 s that a run without changes of colour does not pay.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from segfield.augment.draws import (
    BRIGHTNESS,
    CONTRAST,
    GAMMA,
    HUE_SATURATION_VALUE,
    Draws,
    checked_probability,
    checked_range,
)

_AGAIN = 2**32  # from a kind's stream to that of its next use in one augmentation


class Colour(ABC):
    """Abstract change of an image by amounts that are drawn per sample, each uniform in its range.

    A class of your own, allowed by SEGFIELD_ALLOW, sets `stream` to a number from 1000 on, and gives its ranges.
    """

    stream: ClassVar[int]
    channels: ClassVar[int | None] = None  # C that the change needs; None: any

    def __init__(self, probability: float, ranges: Sequence[tuple[float, float]]) -> None:
        self._probability = checked_probability(f"{_key(type(self))} probability", probability)
        self._ranges = ranges

    @abstractmethod
    def change(self, image: Tensor, amounts: Tensor) -> Tensor:
        """Return the changed image [n, C, H, W]; amounts is [n, ranges], on the image's device.

        What a sample becomes must not depend, in any bit, on the others of the batch.
        """

    @final
    def apply(self, image: Tensor, draws: Draws, earlier: int = 0) -> Tensor:
        """Change the samples that the draws choose.

        Args:
            image: [N, C, H, W] in [0, 1].
            draws: of the N samples.
            earlier: how many changes of this kind went before, so that each has draws of its own.

        Raises:
            ValueError: if the image's channels do not fit.
        """
        if self.channels not in (None, image.shape[1]):
            raise ValueError(
                f"{_key(type(self))} needs an image of {self.channels} channels (red, green, blue); "
                f"this one has {image.shape[1]}. Remove it, or use Brightness, Contrast and Gamma."
            )
        drawn = draws.uniform(self.stream + earlier * _AGAIN, 1 + len(self._ranges))
        rows = np.flatnonzero(drawn[:, 0] < self._probability)
        if len(rows) == 0:
            return image
        low, high = np.array(self._ranges).T
        numbers = torch.from_numpy(low + drawn[rows, 1:] * (high - low)).float()
        amounts = numbers.to(image.device, non_blocking=True)
        if len(rows) == len(image):
            return self.change(image, amounts)
        on_device = torch.from_numpy(rows).to(image.device, non_blocking=True)
        return image.index_copy(0, on_device, self.change(image.index_select(0, on_device), amounts))


def _key(kind: type) -> str:
    return f"augmentation.colour, {kind.__name__}:"


@final
class Brightness(Colour):
    """Add a number to all values: 0 is black, 1 white.

    Args:
        probability: that a sample is changed.
        shift: [low, high] of what is added.

    Raises:
        ValueError: if the probability is outside [0, 1], or the range is descending or out of bounds.
    """

    stream = BRIGHTNESS

    def __init__(self, probability: float = 0.5, shift: Sequence[float] = (-0.1, 0.1)) -> None:
        unit = "added to values in [0, 1]"
        limits = checked_range(f"{_key(Brightness)} shift", shift, (-1, 1), unit, (-0.1, 0.1))
        super().__init__(probability, [limits])

    def change(self, image: Tensor, amounts: Tensor) -> Tensor:
        """See Colour."""
        from kornia.enhance import adjust_brightness

        return adjust_brightness(image, amounts[:, 0])


@final
class Contrast(Colour):
    """Stretch values about the mean grey of their image.

    Args:
        probability: that a sample is changed.
        factor: [low, high] of the distance from the mean; 0 leaves a grey plane.

    Raises:
        ValueError: if the probability is outside [0, 1], or the range is descending or out of bounds.
    """

    stream = CONTRAST

    def __init__(self, probability: float = 0.5, factor: Sequence[float] = (0.8, 1.25)) -> None:
        unit = "a factor of the distance from the mean"
        limits = checked_range(f"{_key(Contrast)} factor", factor, (0, 10), unit, (0.8, 1.25))
        super().__init__(probability, [limits])

    def change(self, image: Tensor, amounts: Tensor) -> Tensor:
        """See Colour."""
        from kornia.enhance import adjust_contrast_with_mean_subtraction

        # One by one: how a mean is summed up may depend on the size of the batch.
        pairs = zip(torch.split(image, 1), torch.split(amounts[:, 0], 1), strict=True)
        return torch.cat([adjust_contrast_with_mean_subtraction(one, factor) for one, factor in pairs])


@final
class Gamma(Colour):
    """Raise values to a power; black and white stay.

    Args:
        probability: that a sample is changed.
        exponent: [low, high]; above 1 darker.

    Raises:
        ValueError: if the probability is outside [0, 1], or the range is descending or out of bounds.
    """

    stream = GAMMA

    def __init__(self, probability: float = 0.5, exponent: Sequence[float] = (0.7, 1.5)) -> None:
        limits = checked_range(f"{_key(Gamma)} exponent", exponent, (0.1, 10), "a power", (0.7, 1.5))
        super().__init__(probability, [limits])

    def change(self, image: Tensor, amounts: Tensor) -> Tensor:
        """See Colour."""
        from kornia.enhance import adjust_gamma

        # One by one: torch computes powers in blocks, and the last bits of what is left over at a block's end differ;
        # where blocks end depends on the size of the batch (measured: 4 of 8 images of 97x131 differ).
        pairs = zip(torch.split(image, 1), torch.split(amounts[:, 0], 1), strict=True)
        return torch.cat([adjust_gamma(one, exponent) for one, exponent in pairs])


@final
class HueSaturationValue(Colour):
    """Add to hue, saturation and value (HSV) of colour images. Hue goes round; saturation and value end at 0 and 1.

    Args:
        probability: that a sample is changed.
        hue: [low, high] in degrees. OpenCV counts hue in steps of 2 degrees.
        saturation: [low, high] of what is added, in [0, 1]. OpenCV counts to 255.
        value: the same.

    Raises:
        ValueError: if the probability is outside [0, 1], or a range is descending or out of bounds.
    """

    stream = HUE_SATURATION_VALUE
    channels = 3

    def __init__(
        self,
        probability: float = 0.5,
        hue: Sequence[float] = (0.0, 0.0),
        saturation: Sequence[float] = (0.0, 0.0),
        value: Sequence[float] = (0.0, 0.0),
    ) -> None:
        key, unit = _key(HueSaturationValue), "added to values in [0, 1]"
        super().__init__(
            probability,
            [
                checked_range(f"{key} hue", hue, (-180, 180), "in degrees", (-20, 20)),
                checked_range(f"{key} saturation", saturation, (-1, 1), unit, (-0.1, 0.1)),
                checked_range(f"{key} value", value, (-1, 1), unit, (-0.1, 0.1)),
            ],
        )

    def change(self, image: Tensor, amounts: Tensor) -> Tensor:
        """See Colour."""
        from kornia.color import hsv_to_rgb, rgb_to_hsv
        from kornia.enhance import adjust_brightness

        hue, rest = torch.split(rgb_to_hsv(image), [1, 2], dim=1)
        turned = (hue + amounts[:, 0, None, None, None] * (math.pi / 180)).remainder(2 * math.pi)
        return hsv_to_rgb(torch.cat([turned, adjust_brightness(rest, amounts[:, 1:])], dim=1))
