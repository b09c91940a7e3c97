"""Scores of counted pixels are, bit for bit, those of the metrics that training logs."""

import math

import pytest
import torch
from torch import Tensor

from segfield.metrics import DICE_UNIT, Dice, DiceSet, IoU, ratio
from segfield.metrics.counts import (
    class_dice,
    count_classes,
    group_dice,
    image_dice,
    image_iou,
    mean_of_classes,
    mean_of_units,
    set_scores,
)
from segfield.metrics.group import DiceGroup, MulticlassDiceGroup
from segfield.metrics.multiclass import MulticlassScores

CLASSES = ("background", "a", "b", "c")


def random_set(images: int, classes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, target, valid; with empty masks, empty predictions, classes that are nowhere."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, max(classes, 1), 6, 7, generator=rng)
    target = torch.randint(0, max(classes - 1, 2), (images, 6, 7), generator=rng)
    target[0], logits[1] = 0, torch.tensor([-4.0] if classes == 1 else [9.0, 0, 0, 0]).reshape(-1, 1, 1)
    target[2], logits[2] = 0, logits[1]
    return logits, target, torch.rand(images, 1, 6, 7, generator=rng) > 0.2


@pytest.mark.parametrize("seed", range(5))
def test_one_class_gives_the_bits_of_the_binary_scores(seed: int) -> None:
    logits, target, valid = random_set(9, 1, seed)
    groups = ["x", "x", "y", "z", "z", "z", "y", "x", "w"]
    counts = count_classes((logits[:, 0] > 0).long(), target, valid[:, 0], 2)
    assert counts.shape == (3, 9, 1)
    of_groups = torch.stack([counts[:, [name == group for name in groups]].sum(1) for group in "xyzw"], dim=1)
    dice, iou = set_scores(counts.sum(1))
    found = {
        Dice: mean_of_units(image_dice(counts)),
        DiceGroup: mean_of_units(group_dice(of_groups)),
        DiceSet: mean_of_classes(dice, counts.sum(1)),
        IoU: mean_of_classes(iou, counts.sum(1)),
    }
    for kind, value in found.items():
        metric = kind()
        for place in range(9):
            metric.update(*(part[place : place + 1] for part in (logits, target, valid)), [groups[place]])
        assert float(metric.compute()) == float(value)


@pytest.mark.parametrize("seed", range(5))
def test_several_classes_give_the_bits_of_the_multi_class_scores(seed: int) -> None:
    logits, target, valid = random_set(9, 4, seed)
    groups = ["x", "x", "y", "z", "z", "z", "y", "x", "w"]
    counts = count_classes(logits.argmax(1), target, valid[:, 0], 4)
    metrics, of_group = MulticlassScores(CLASSES), MulticlassDiceGroup(CLASSES)
    metrics.update(logits, target, valid, groups)
    of_group.update(logits, target, valid, groups)
    dice, iou = set_scores(counts.sum(1))
    units, has = class_dice(counts)
    of_groups = torch.stack([counts[:, [name == group for name in groups]].sum(1) for group in "xyzw"], dim=1)
    found = {
        "dice": mean_of_units(image_dice(counts)),
        "dice_set": mean_of_classes(dice, counts.sum(1)),
        "iou": mean_of_classes(iou, counts.sum(1)),
        **{f"dice_{name}": ratio(units.sum(0), has.sum(0) * DICE_UNIT)[k] for k, name in enumerate(CLASSES[1:])},
        **{f"iou_{name}": iou[k] for k, name in enumerate(CLASSES[1:])},
    }
    expected = metrics.compute()
    assert {name: float(value) for name, value in found.items()} == {name: float(expected[name]) for name in found}
    assert float(mean_of_units(group_dice(of_groups))) == float(of_group.compute())


@pytest.mark.parametrize(
    ("counts", "dice", "iou"),
    [
        ([[0], [0], [0]], 1.0, 1.0),
        ([[0], [5], [0]], 0.0, 0.0),
        ([[0], [0], [5]], 0.0, 0.0),
        ([[2], [4], [3]], 4 / 7, 2 / 5),
        ([[2, 0], [4, 0], [3, 0]], 4 / 7, 2 / 5),  # the second class is nowhere
        ([[2, 0], [4, 1], [3, 0]], 2 / 7, 1 / 5),
    ],
)
def test_an_image_has_the_mean_of_its_classes_and_1_where_it_has_none(
    counts: list[list[int]], dice: float, iou: float
) -> None:
    of_image = torch.tensor(counts)[:, None]
    assert math.isclose(int(image_dice(of_image)[0]) / DICE_UNIT, dice, abs_tol=1e-9)
    assert math.isclose(int(image_iou(of_image)[0]) / DICE_UNIT, iou, abs_tol=1e-9)
