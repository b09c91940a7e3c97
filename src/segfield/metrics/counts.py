"""Scores of counted pixels, for one foreground class or several: of images, of groups, of a set.

The counts are whole numbers, [..., F] with F foreground classes, and the rules are those of the metrics that training
logs: with one class the same counts give the same bits. A class of an image that neither truth nor prediction has is
left out of the image's mean; where there is none at all, the image counts 1.
"""

import torch
from torch import Tensor

from segfield.metrics import DICE_UNIT, _count, dice_units, ratio


def count_classes(predicted: Tensor, true: Tensor, valid: Tensor | None, classes: int) -> Tensor:
    """Count the pixels of each image, by class.

    Args:
        predicted: [N, H, W] class indices.
        true: the same.
        valid: [N, H, W] bool; None: all.
        classes: K, the background (0) included.

    Returns:
        [3, N, K - 1] int64: predicted and true, predicted, true; of the classes from 1 on.
    """
    counted = []
    for label in range(1, classes):
        here, there = predicted == label, true == label
        if valid is not None:
            here, there = here & valid, there & valid
        counted.append(torch.stack(tuple(_count(here & there, here, there))))
    return torch.stack(counted, dim=2)


def image_dice(counts: Tensor) -> Tensor:
    """Return the Dice of images in units of 2**-32: the mean over the classes that an image has.

    Args:
        counts: [3, N, F], as count_classes() gives them.

    Returns:
        [N] int64.
    """
    hits, predicted, true = counts
    return mean_over_classes(dice_units(hits, predicted + true), predicted + true)


def image_iou(counts: Tensor) -> Tensor:
    """Return the IoU of images, as image_dice() does."""
    hits, predicted, true = counts
    union = predicted + true - hits
    # 2 |P and T| / 2 |P or T|
    return mean_over_classes(dice_units(hits, 2 * union), union)


def class_dice(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Dice of each class in units of 2**-32, 0 where an image lacks it, and whether it has it: [N, F].

    Args:
        counts: [3, N, F].
    """
    hits, predicted, true = counts
    has = predicted + true > 0
    return dice_units(hits, predicted + true) * has, has


def group_dice(counts: Tensor) -> Tensor:
    """Return the Dice of groups in units of 2**-32, of the sums over their images, as image_dice() does.

    Each class's value is rounded to float32, as DiceGroup does.
    """
    hits, predicted, true = counts
    return mean_over_classes((ratio(2 * hits, predicted + true) * DICE_UNIT).long(), predicted + true, rounded=False)


def set_scores(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return Dice and IoU of a set by class, [F] float32 each, of the sums over its images.

    Args:
        counts: [3, F].
    """
    hits, predicted, true = counts
    return ratio(2 * hits, predicted + true), ratio(hits, predicted + true - hits)


def mean_of_units(units: Tensor) -> Tensor:
    """Return the mean of values in units of 2**-32, a float32 scalar; 1 of none."""
    return ratio(units.sum(), torch.tensor(len(units) * DICE_UNIT))


def mean_of_classes(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of a set's scores, [F] float32, over the classes that its truth or prediction has; none: 1.

    Args:
        values: [F].
        counts: [3, F].
    """
    has = (counts[1] + counts[2] > 0).float()
    return torch.where(has.sum() == 0, 1.0, (values * has).sum() / has.sum().clamp(min=1))


def mean_over_classes(units: Tensor, pixels: Tensor, *, rounded: bool = True) -> Tensor:
    """Return the mean over the classes that have pixels, [N, F] -> [N]; 1 where none has. In units of 2**-32."""
    present = pixels > 0
    number = present.sum(-1)
    total = (units * present).sum(-1) + (number // 2 if rounded else 0)
    return torch.where(number == 0, DICE_UNIT, torch.div(total, number.clamp(min=1), rounding_mode="floor"))
