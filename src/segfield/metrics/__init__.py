"""Scores of binary predictions: torchmetrics whose states are sums of whole numbers.

Whole numbers (int64) add up exactly: a score is bitwise the same however the set is cut into batches, ranks or resumed
halves. update is called (logits, target, valid, group). A pixel is predicted where its probability is above the
threshold, not equal to it. Pixels outside `valid` do not count. Losses live in losses/, the mean of one here; what
looks at the groups, in group.py; several classes, in multiclass.py; densities, in density.py.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

# A Dice value is held in units of 2**-32: room for 2**31 images, of up to 2**29 pixels each.
DICE_UNIT = 2**32


class BinaryMetric(Metric):
    """Count the pixels of each image; what becomes of the counts is a subclass's. Not to be used by itself.

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
        self.cutoff = cutoff(threshold)

    @final
    def update(self, logits: Tensor, target: Tensor, valid: Tensor | None, group: list[str]) -> None:
        """Add a batch.

        Args:
            logits: [N, 1, H, W].
            target: [N, H, W], 0 or 1.
            valid: [N, 1, H, W] bool; None: all.
            group: N names.

        Raises:
            ValueError: if the shapes do not fit one another.
        """
        self._check_shapes(logits, target, valid)
        predicted, true = logits[:, 0].float() > self.cutoff, target.bool()
        if valid is None:
            hits, predicted, true = _count(predicted & true, predicted, true)
            pixels = torch.full_like(hits, target.shape[1] * target.shape[2])
        else:
            inside = valid[:, 0]
            predicted, true = predicted & inside, true & inside
            hits, predicted, true, pixels = _count(predicted & true, predicted, true, inside)
        self._add(hits, predicted, true, pixels, group)

    @abstractmethod
    def _add(self, hits: Tensor, predicted: Tensor, true: Tensor, pixels: Tensor, group: list[str]) -> None:
        """Add the pixels of each image, [N] int64: predicted and true, predicted, true, valid."""

    @final
    def _check_shapes(self, logits: Tensor, target: Tensor, valid: Tensor | None) -> None:
        name = type(self).__name__
        if logits.ndim != 4 or logits.shape[1] != 1 or target.shape != logits.shape[:1] + logits.shape[2:]:
            raise ValueError(
                f"{name} needs logits [N, 1, H, W] and a target [N, H, W] of the same H and W; got logits "
                f"{list(logits.shape)} and target {list(target.shape)}. Crop the target; K classes want "
                "metrics=multiclass."
            )
        if valid is not None and valid.shape != logits.shape:
            raise ValueError(
                f"{name} needs valid in the shape of the logits, [N, 1, H, W]; got valid {list(valid.shape)} "
                f"for logits {list(logits.shape)}. Crop or pad it like the target."
            )


class _BinaryScore(BinaryMetric):
    """Sums that do not know of groups: all scores below have the same, so that BinaryScores counts a batch once."""

    counts: Tensor  # [6], sums over images: Dice in its unit, images that count; pixels: hits, predicted, true, valid

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__(threshold)
        self.add_state("counts", torch.zeros(6, dtype=torch.int64), dist_reduce_fx="sum")

    @final
    def _add(self, hits: Tensor, predicted: Tensor, true: Tensor, pixels: Tensor, group: list[str]) -> None:
        seen = pixels > 0
        dice = dice_units(hits, predicted + true) * seen
        self.counts += torch.stack((dice, seen.long(), hits, predicted, true, pixels)).sum(1)

    @abstractmethod
    def compute(self) -> Tensor:
        """Give the score of everything added so far, a float32 scalar."""


@final
class Dice(_BinaryScore):
    """Mean over images of 2 |P and T| / (|P| + |T|), at the working size: in [0, 1], higher is better.

    An image where prediction and truth are both empty counts 1, where one of them is empty 0. An image without a valid
    pixel is not counted; with no image counted the score is 1. Each image's value is rounded to 2**-32.
    """

    def compute(self) -> Tensor:
        """Give the mean over the images, a float32 scalar."""
        dice, images, *_ = self.counts
        return ratio(dice, images * DICE_UNIT)


@final
class DiceSet(_BinaryScore):
    """2 |P and T| / (|P| + |T|) with sums over the whole set: in [0, 1], higher is better.

    Large objects weigh more than small ones, false positives on empty images count like others. 1 where no pixel of the
    set is predicted or true.
    """

    def compute(self) -> Tensor:
        """Give the Dice coefficient of the set, a float32 scalar."""
        _, _, hits, predicted, true, _ = self.counts
        return ratio(2 * hits, predicted + true)


@final
class IoU(_BinaryScore):
    """|P and T| / |P or T| of the foreground, with sums over the whole set: in [0, 1], higher is better.

    Also called the Jaccard index. 1 where no pixel of the set is predicted or true.
    """

    def compute(self) -> Tensor:
        """Give the intersection over union of the set, a float32 scalar."""
        _, _, hits, predicted, true, _ = self.counts
        return ratio(hits, predicted + true - hits)


@final
class PixelAccuracy(_BinaryScore):
    """Share of the set's valid pixels that are right, background included: in [0, 1], higher is better.

    High for an empty prediction of small objects: read it beside Dice. 1 where the set has no valid pixel.
    """

    def compute(self) -> Tensor:
        """Give the share of right pixels, a float32 scalar."""
        _, _, hits, predicted, true, pixels = self.counts
        return ratio(pixels - predicted - true + 2 * hits, pixels)


@final
class BinaryScores(MetricCollection):
    """A collection that counts each batch once for all of the scores above that have the same threshold.

    torchmetrics would guess by itself which metrics have a state in common, from their values after the first batch.

    Args:
        metrics: by name; others than the scores above are updated as ever.
    """

    def __init__(self, metrics: dict[str, Metric]) -> None:
        groups: dict[float, list[str]] = {}
        for name, metric in metrics.items():
            if isinstance(metric, _BinaryScore):
                groups.setdefault(metric.threshold, []).append(name)
        super().__init__(dict(metrics), compute_groups=list(groups.values()))


@final
class MeanLoss(Metric):
    """Mean over images of a loss that is given as the mean of each batch.

    torchmetrics' MeanMetric looks for NaN in each batch, for which it waits for the device; here NaN stays NaN.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, loss: Tensor, images: int, valid: Tensor | None = None) -> None:
        """Add a batch of so many images with this mean loss, a scalar.

        With `valid`, [N, 1, H, W] bool, an image without a valid pixel, whose loss is 0, does not count.
        """
        self.total += loss * images
        self.images += images if valid is None else valid.flatten(1).any(1).sum()

    def compute(self) -> Tensor:
        """Give the mean over the images, a float32 scalar."""
        return self.total / self.images


def _count(*masks: Tensor) -> Iterable[Tensor]:
    """Count the pixels of each image in some masks, [N, H, W] bool each: [N] int64 each."""
    # On a CPU a sum of bool in int32 takes a tenth of the time of one in int64; an image is far below 2**31 pixels.
    return torch.stack(masks).sum((2, 3), dtype=torch.int32).long()


def cutoff(threshold: float) -> float:
    """Return the logit of a probability."""
    return math.log(threshold) - math.log1p(-threshold)


def dice_units(hits: Tensor, total: Tensor) -> Tensor:
    """Return 2 hits / total of images in units of 2**-32, rounded; 1 where an image has none of either.

    In whole numbers: sums of floats would depend on the order, and MPS has no float64.
    """
    dice = torch.div(2 * DICE_UNIT * hits + total // 2, total.clamp(min=1), rounding_mode="floor")
    return torch.where(total == 0, DICE_UNIT, dice)


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide two counts; nothing of nothing is 1."""
    return torch.where(whole == 0, torch.ones_like(whole, dtype=torch.float32), part / whole.clamp(min=1))
