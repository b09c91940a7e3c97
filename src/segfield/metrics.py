"""Scores of binary predictions: torchmetrics whose states are sums of whole numbers.

Whole numbers (int64) add up exactly: a score is bitwise the same however the set is cut into batches, ranks or resumed
halves. update is called (logits, target, valid, group). A pixel is predicted where its probability is above the
threshold, not equal to it. Pixels outside `valid` do not count. Losses live in losses.py.
"""

import math
from abc import abstractmethod
from typing import final

import torch
from torch import Tensor
from torchmetrics import Metric

# A Dice value is held in units of 2**-32: room for 2**31 images, of up to 2**29 pixels each.
_DICE_UNIT = 2**32


class _BinaryScore(Metric):
    """Count, per image, what the four scores below are made of. Not to be used by itself.

    Args:
        threshold: a probability, above 0 and below 1. It is compared with the logits, in float32, as its own logit.

    Raises:
        ValueError: if the threshold is outside its range.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(
                f"A threshold is a probability above 0 and below 1; got {threshold}. Use task.threshold=0.5."
            )
        self.threshold = threshold
        self.cutoff = math.log(threshold) - math.log1p(-threshold)

    @final
    def update(self, logits: Tensor, target: Tensor, valid: Tensor | None, group: list[str]) -> None:
        """Add a batch.

        Args:
            logits: [N, 1, H, W].
            target: [N, H, W], 0 or 1.
            valid: [N, 1, H, W] bool; None: all.
            group: N names; these scores do not look at them.

        Raises:
            ValueError: if the shapes do not fit one another.
        """
        self._check_shapes(logits, target, valid)
        predicted, true = logits[:, 0].float() > self.cutoff, target != 0
        if valid is None:
            pixels = target.new_full(target.shape[:1], target.shape[1] * target.shape[2], dtype=torch.int64)
        else:
            inside = valid[:, 0]
            predicted, true, pixels = predicted & inside, true & inside, _count(inside)
        self._add(_count(predicted & true), _count(predicted), _count(true), pixels)

    @abstractmethod
    def _add(self, hits: Tensor, predicted: Tensor, true: Tensor, pixels: Tensor) -> None:
        """Add the pixels of each image, [N] int64: predicted and true, predicted, true, valid."""

    @abstractmethod
    def compute(self) -> Tensor:
        """Give the score of everything added so far, a float32 scalar."""

    @final
    def _add_sum(self, name: str) -> None:
        """Make a state that adds up over batches and ranks."""
        self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @final
    def _check_shapes(self, logits: Tensor, target: Tensor, valid: Tensor | None) -> None:
        name = type(self).__name__
        if logits.ndim != 4 or logits.shape[1] != 1 or target.shape != logits.shape[:1] + logits.shape[2:]:
            raise ValueError(
                f"{name} needs logits [N, 1, H, W] and a target [N, H, W] of the same H and W; got logits "
                f"{list(logits.shape)} and target {list(target.shape)}. Crop the target (binary masks only)."
            )
        if valid is not None and valid.shape != logits.shape:
            raise ValueError(
                f"{name} needs valid in the shape of the logits, [N, 1, H, W]; got valid {list(valid.shape)} "
                f"for logits {list(logits.shape)}. Crop or pad it like the target."
            )


@final
class Dice(_BinaryScore):
    """Mean over images of 2 |P and T| / (|P| + |T|), at the working size: in [0, 1], higher is better.

    An image where prediction and truth are both empty counts 1, where one of them is empty 0. An image without a valid
    pixel is not counted; with no image counted the score is 1. Each image's value is rounded to 2**-32.
    """

    score: Tensor
    images: Tensor

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__(threshold)
        self._add_sum("score")
        self._add_sum("images")

    def _add(self, hits: Tensor, predicted: Tensor, true: Tensor, pixels: Tensor) -> None:
        total = predicted + true
        # In whole numbers: sums of floats would depend on the order, and MPS has no float64.
        value = torch.div(2 * hits * _DICE_UNIT + total // 2, total.clamp(min=1), rounding_mode="floor")
        value = torch.where(total == 0, torch.full_like(value, _DICE_UNIT), value)
        self.score += torch.where(pixels == 0, torch.zeros_like(value), value).sum()
        self.images += (pixels > 0).sum()

    def compute(self) -> Tensor:
        """Give the mean over the images, a float32 scalar."""
        return _ratio(self.score, self.images * _DICE_UNIT)


@final
class DiceSet(_BinaryScore):
    """2 |P and T| / (|P| + |T|) with sums over the whole set: in [0, 1], higher is better.

    Large objects weigh more than small ones, false positives on empty images count like others. 1 where no pixel of the
    set is predicted or true.
    """

    hits: Tensor
    predicted: Tensor
    true: Tensor

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__(threshold)
        self._add_sum("hits")
        self._add_sum("predicted")
        self._add_sum("true")

    def _add(self, hits: Tensor, predicted: Tensor, true: Tensor, pixels: Tensor) -> None:
        self.hits += hits.sum()
        self.predicted += predicted.sum()
        self.true += true.sum()

    def compute(self) -> Tensor:
        """Give the Dice coefficient of the set, a float32 scalar."""
        return _ratio(2 * self.hits, self.predicted + self.true)


@final
class IoU(_BinaryScore):
    """|P and T| / |P or T| of the foreground, with sums over the whole set: in [0, 1], higher is better.

    Also called the Jaccard index. 1 where no pixel of the set is predicted or true.
    """

    hits: Tensor
    union: Tensor

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__(threshold)
        self._add_sum("hits")
        self._add_sum("union")

    def _add(self, hits: Tensor, predicted: Tensor, true: Tensor, pixels: Tensor) -> None:
        self.hits += hits.sum()
        self.union += (predicted + true - hits).sum()

    def compute(self) -> Tensor:
        """Give the intersection over union of the set, a float32 scalar."""
        return _ratio(self.hits, self.union)


@final
class PixelAccuracy(_BinaryScore):
    """Share of the set's valid pixels that are right, background included: in [0, 1], higher is better.

    High for an empty prediction of small objects: read it beside Dice. 1 where the set has no valid pixel.
    """

    correct: Tensor
    pixels: Tensor

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__(threshold)
        self._add_sum("correct")
        self._add_sum("pixels")

    def _add(self, hits: Tensor, predicted: Tensor, true: Tensor, pixels: Tensor) -> None:
        self.correct += (pixels - predicted - true + 2 * hits).sum()
        self.pixels += pixels.sum()

    def compute(self) -> Tensor:
        """Give the share of right pixels, a float32 scalar."""
        return _ratio(self.correct, self.pixels)


def _count(mask: Tensor) -> Tensor:
    """Count the pixels of each image: [N, H, W] bool to [N] int64."""
    # On a CPU a sum of bool in int32 takes a tenth of the time of one in int64; an image is far below 2**31 pixels.
    return mask.sum((1, 2), dtype=torch.int32).long()


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide two counts; nothing of nothing is 1."""
    return torch.where(whole == 0, torch.ones_like(whole, dtype=torch.float32), part / whole.clamp(min=1))
