"""Scores of predictions of K classes, each pixel of one of them: the rules of the binary scores, class by class.

Class 0 is the background, which no Dice and no IoU looks at. The predicted class of a pixel is that of its largest
logit, the first of several. What stands in metrics/__init__.py of whole numbers, `valid` and update holds here too;
with two classes the scores are the binary ones. The Dice of whole groups is in group.py.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from segfield.metrics import DICE_UNIT, ratio

_NO_CLASS = 255  # of pixels outside `valid`


class MulticlassMetric(Metric):
    """Count the pixels of each image and class; what becomes of them is a subclass's. Not to be used by itself.

    Args:
        classes: their names, K in all, the background's first.

    Raises:
        ValueError: if they are too few or too many.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        if not 2 <= len(classes) <= _NO_CLASS:
            raise ValueError(
                f"{type(self).__name__} needs 2 to {_NO_CLASS} classes, the background's name first; got "
                f"{list(classes)}. Use data.classes=[background,cell,debris], or task=binary."
            )
        self.classes = tuple(classes)

    @final
    def update(self, logits: Tensor, target: Tensor, valid: Tensor | None, group: list[str]) -> None:
        """Add a batch.

        Args:
            logits: [N, K, H, W].
            target: [N, H, W], 0 to K - 1; anything where not valid.
            valid: [N, 1, H, W] bool; None: all.
            group: N names.

        Raises:
            ValueError: if the shapes do not fit one another.
        """
        self._check_shapes(logits, target, valid)
        predicted, true = predicted_class(logits), target.to(torch.uint8)
        if valid is not None:
            outside = ~valid[:, 0]
            predicted, true = predicted.masked_fill_(outside, _NO_CLASS), true.masked_fill(outside, _NO_CLASS)
        right, counts = predicted == true, []
        # Not bincount: it waits for the device. In int32, see _count() of the binary scores.
        for number in range(len(self.classes)):
            of_class = true == number
            masks = (of_class & right, predicted == number, of_class)
            counts.append(torch.stack([mask.sum((1, 2), dtype=torch.int32) for mask in masks]))
        hits, predicted, true = torch.stack(counts, dim=-1).long()
        self._add(hits, predicted, true, group)

    @abstractmethod
    def _add(self, hits: Tensor, predicted: Tensor, true: Tensor, group: list[str]) -> None:
        """Add the valid pixels of each image and class, [N, K] int64: predicted and true, predicted, true."""

    @final
    def _check_shapes(self, logits: Tensor, target: Tensor, valid: Tensor | None) -> None:
        name, number = type(self).__name__, len(self.classes)
        if logits.ndim != 4 or logits.shape[1] != number:
            raise ValueError(
                f"{name} needs logits [N, {number}, H, W] for the classes {', '.join(self.classes)}; got "
                f"{list(logits.shape)}. Use data.out_channels={number}."
            )
        size = logits.shape[2:]
        for word, given, shape in (("target", target, size), ("valid", valid, (1, *size))):
            if given is not None and given.shape != (len(logits), *shape):
                raise ValueError(
                    f"{name} needs a target [N, H, W] and valid [N, 1, H, W] in H and W of the logits; got {word} "
                    f"{list(given.shape)} for logits {list(logits.shape)}. Crop or pad it."
                )


def predicted_class(logits: Tensor) -> Tensor:
    """Give the class of the largest logit of each pixel, the first of several: [N, K, H, W] -> [N, H, W] uint8.

    On a CPU argmax over a dimension that is not the last takes ten times as long.
    """
    best, found = logits[:, 0], torch.zeros_like(logits[:, 0], dtype=torch.uint8)
    for number in range(1, logits.shape[1]):
        found.masked_fill_(logits[:, number] > best, number)
        best = torch.maximum(best, logits[:, number])
    return found


class _MulticlassScore(MulticlassMetric):
    """Sums that do not know of groups: all scores below have the same, so that MulticlassScores counts a batch once.

    `counts` is [5, K], int64 sums over images. For a foreground class: Dice in its unit, images that have the class,
    pixels that are hits, predicted, true. For class 0 the first two are the mean Dice of the foreground classes, and
    the images that count.
    """

    counts: Tensor

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.add_state("counts", torch.zeros(5, len(classes), dtype=torch.int64), dist_reduce_fx="sum")

    @final
    def _add(self, hits: Tensor, predicted: Tensor, true: Tensor, group: list[str]) -> None:
        total = predicted + true
        dice = torch.div(2 * DICE_UNIT * hits + total // 2, total.clamp(min=1), rounding_mode="floor")
        has = (total > 0).long()
        mean, images = _mean_of_image(dice[:, 1:], has[:, 1:]), (true.sum(1) > 0).long()
        dice = torch.cat(((mean * images)[:, None], dice[:, 1:]), 1)
        has = torch.cat((images[:, None], has[:, 1:]), 1)
        self.counts += torch.stack((dice, has, hits, predicted, true)).sum(1)

    @final
    def _iou(self) -> Tensor:
        _, _, hits, predicted, true = self.counts
        return ratio(hits, predicted + true - hits)

    @abstractmethod
    def compute(self) -> Tensor:
        """Give the score of everything added so far, a float32 scalar."""


def _mean_of_image(dice: Tensor, has: Tensor) -> Tensor:
    """Average over the classes that each image has, [N, K - 1] -> [N]; in whole numbers, see _BinaryScore."""
    number = has.sum(1)
    mean = torch.div((dice * has).sum(1) + number // 2, number.clamp(min=1), rounding_mode="floor")
    return torch.where(number == 0, DICE_UNIT, mean)


@final
class MulticlassDice(_MulticlassScore):
    """Mean over images of the mean Dice of the foreground classes that the image's truth or prediction has.

    In [0, 1], higher is better. A class that only one of the two has counts 0; an image without foreground in either
    counts 1. An image without a valid pixel is not counted; with no image counted the score is 1.
    """

    def compute(self) -> Tensor:
        """Give the mean over the images, a float32 scalar."""
        return ratio(self.counts[0, 0], self.counts[1, 0] * DICE_UNIT)


@final
class MulticlassDiceSet(_MulticlassScore):
    """Mean Dice, from sums over the whole set, of the foreground classes that its truth or prediction has; none: 1."""

    def compute(self) -> Tensor:
        """Give the mean over the classes, a float32 scalar."""
        _, _, hits, predicted, true = self.counts
        return _mean_of_classes(ratio(2 * hits, predicted + true), self.counts)


@final
class MulticlassIoU(_MulticlassScore):
    """Mean IoU, from sums over the whole set, of the foreground classes that its truth or prediction has; none: 1."""

    def compute(self) -> Tensor:
        """Give the mean over the classes, a float32 scalar."""
        return _mean_of_classes(self._iou(), self.counts)


@final
class MulticlassAccuracy(_MulticlassScore):
    """Share of the set's valid pixels whose class is right, background included; 1 where there is no valid pixel."""

    def compute(self) -> Tensor:
        """Give the share of right pixels, a float32 scalar."""
        return ratio(self.counts[2].sum(), self.counts[4].sum())


class _ClassScore(_MulticlassScore):
    """A score of class `number`."""

    def __init__(self, classes: Sequence[str], number: int) -> None:
        super().__init__(classes)
        self.number = number


@final
class ClassDice(_ClassScore):
    """Mean Dice of one class over the images whose truth or prediction has it; 0 where one of the two lacks it.

    1 where no image has the class.
    """

    def compute(self) -> Tensor:
        """Give the mean over the images with the class, a float32 scalar."""
        return ratio(self.counts[0, self.number], self.counts[1, self.number] * DICE_UNIT)


@final
class ClassIoU(_ClassScore):
    """IoU of one class from sums over the whole set: in [0, 1], higher is better; 1 where the set lacks the class."""

    def compute(self) -> Tensor:
        """Give the intersection over union of the set, a float32 scalar."""
        return self._iou()[self.number]


def _mean_of_classes(values: Tensor, counts: Tensor) -> Tensor:
    has = (counts[3, 1:] + counts[4, 1:] > 0).float()
    return torch.where(has.sum() == 0, 1.0, (values[1:] * has).sum() / has.sum().clamp(min=1))


@final
class MulticlassScores(MetricCollection):
    """The scores above by name: dice, dice_set, iou, accuracy, and dice_<class>, iou_<class> of the foreground classes.

    A batch is counted once for all of them.

    Args:
        classes: names, the background's first.
        metrics: others, by name, which are updated by themselves.

    Raises:
        ValueError: if the name of a class makes that of another score.
    """

    def __init__(self, classes: Sequence[str], metrics: Mapping[str, Metric] | None = None) -> None:
        whole: dict[str, Metric] = {"dice": MulticlassDice(classes), "dice_set": MulticlassDiceSet(classes)}
        whole |= {"iou": MulticlassIoU(classes), "accuracy": MulticlassAccuracy(classes)}
        others = dict(metrics or {})
        foreground = list(enumerate(classes))[1:]
        dice: dict[str, Metric] = {f"dice_{name}": ClassDice(classes, number) for number, name in foreground}
        iou: dict[str, Metric] = {f"iou_{name}": ClassIoU(classes, number) for number, name in foreground}
        if doubled := sorted((dice.keys() | iou.keys()) & (whole.keys() | others.keys())):
            name = doubled[0].partition("_")[2]
            raise ValueError(
                f"The class {name!r} makes the name {doubled[0]}, which is another score's. Rename it in data.classes: "
                f"{name}_class."
            )
        scores = {**whole, **dice, **iou}
        super().__init__({**scores, **others}, compute_groups=[list(scores)])
