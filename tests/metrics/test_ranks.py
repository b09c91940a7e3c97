"""Scores of a set that real processes share out: those of one process, to the last bit."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics import Metric

from segfield.metrics import Dice, DiceSet, IoU, MeanLoss, PixelAccuracy
from segfield.metrics.group import DiceGroup, MulticlassDiceGroup
from segfield.metrics.multiclass import ClassDice, ClassIoU, MulticlassDice
from segfield.metrics.states import gather, take_up

pytestmark = [
    pytest.mark.slow,
    # A rank without a batch computes what the others have; torchmetrics thinks that it was forgotten.
    pytest.mark.filterwarnings("ignore:The ``compute`` method of metric .* was called before"),
]
Ranks = Callable[[int, Callable[[], Any]], list[Any]]

GROUPS = [f"patient {number % 4}" for number in range(11)]
BINARY = ("dice", "dice_set", "iou", "accuracy", "dice_group")
CLASSES = ["background", "a", "b"]
SEVERAL = ("classes", "dice_b", "iou_a", "classes_group")
COUNTED = (*BINARY, *SEVERAL)


def scores() -> dict[str, Metric]:
    binary = (Dice(), DiceSet(), IoU(), PixelAccuracy(), DiceGroup())
    several = (MulticlassDice(CLASSES), ClassDice(CLASSES, 2), ClassIoU(CLASSES, 1), MulticlassDiceGroup(CLASSES))
    return {**dict(zip(COUNTED, binary + several, strict=True)), "loss": MeanLoss()}


def images() -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(3)
    logits, target = torch.randn(11, 1, 9, 7, generator=rng), (torch.rand(11, 9, 7, generator=rng) > 0.7).long()
    valid = torch.rand(11, 1, 9, 7, generator=rng) > 0.2
    target[::3], logits[::2] = 0, -4.0  # some empty in truth, some in prediction, some in both
    return logits, target, valid


def add(metrics: dict[str, Metric], mine: list[int]) -> None:
    """Add images one by one."""
    logits, target, valid = images()
    for index in mine:
        one = slice(index, index + 1)
        for name in BINARY:
            metrics[name].update(logits[one], target[one], valid[one], GROUPS[one])
        of_classes = torch.cat((torch.zeros_like(logits), logits, logits.flip(2)), 1), target + target.flip(1)
        for name in SEVERAL:
            metrics[name].update(*(array[one] for array in of_classes), valid[one], GROUPS[one])
        metrics["loss"].update(logits[index].mean() + 3, 1)


def values(metrics: dict[str, Metric]) -> dict[str, Tensor]:
    return {name: metric.compute() for name, metric in metrics.items()}


def share(shares: list[list[int]] | None) -> list[int]:
    """Join the group of gloo; return the images of this rank."""
    if shares is None:
        return list(range(11))
    dist.init_process_group("gloo")
    return shares[dist.get_rank()]


def scored(shares: list[list[int]] | None) -> dict[str, Tensor]:
    metrics, mine = scores(), share(shares)
    add(metrics, mine)
    return values(metrics)


def scored_twice(shares: list[list[int]] | None) -> list[dict[str, Tensor]]:
    """Score two images of each rank, then, after the ranks went apart again, all."""
    metrics, mine, found = scores(), share(shares), []
    for part in (mine[:2], mine[2:]):
        add(metrics, part)
        found.append(values(metrics))
    return found


DEALT = {
    2: [list(range(11))[rank::2] for rank in range(2)],
    3: [list(range(11))[rank::3] for rank in range(3)],
}
UNEVEN = {2: [list(range(11)), []], 3: [[], [4, 0], [10, 1, 2, 3, 5, 6, 7, 8, 9]]}


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("shares", [DEALT, UNEVEN], ids=["dealt", "one rank without an image"])
def test_the_scores_of_all_ranks_are_bitwise_those_of_one_process(
    ranks: Ranks, world: int, shares: dict[int, list[list[int]]]
) -> None:
    (alone,) = ranks(1, functools.partial(scored, None))
    assert len({float(alone[name]) for name in COUNTED}) == len(COUNTED)
    for found in ranks(world, functools.partial(scored, shares[world])):
        assert {name: found[name] for name in COUNTED} == {name: alone[name] for name in COUNTED}
        assert float(found["loss"]) == pytest.approx(float(alone["loss"]), rel=1e-6)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_go_on_by_themselves_after_their_scores_were_computed_together(ranks: Ranks, world: int) -> None:
    so_far, whole = scores(), scores()
    add(so_far, [index for mine in DEALT[world] for index in mine[:2]])
    add(whole, list(range(11)))
    for found in ranks(world, functools.partial(scored_twice, DEALT[world])):
        for one, expected in zip(found, map(values, (so_far, whole)), strict=True):
            assert {name: one[name] for name in COUNTED} == {name: expected[name] for name in COUNTED}


def continued(shares: list[list[int]] | None, saved: Any, before: int, to: int) -> tuple[Any, dict[str, Tensor]]:
    """Go on from what other ranks have left: each adds its images from `before` to `to`."""
    metrics, mine = scores(), share(shares)
    if saved is not None:
        take_up(metrics, saved)
    add(metrics, [index for index in mine if before <= index < to])
    return gather(metrics), values(metrics)


@pytest.mark.parametrize("worlds", [(2, 1, 3), (3, 2, 1), (1, 3, 2), (2, 2, 2)])
def test_scores_that_are_continued_by_another_number_of_ranks_are_bitwise_those_of_one_process(
    ranks: Ranks, worlds: tuple[int, ...]
) -> None:
    (alone,) = ranks(1, functools.partial(scored, None))
    saved, before = None, 0
    for world, to in zip(worlds, (4, 7, 11), strict=True):
        done = ranks(world, functools.partial(continued, DEALT.get(world), saved, before, to))
        assert len({len(states) for states, _ in done}) == 1
        (saved, found), before = done[0], to
        assert len(saved) == world
    assert {name: found[name] for name in COUNTED} == {name: alone[name] for name in COUNTED}
    assert float(found["loss"]) == pytest.approx(float(alone["loss"]), rel=1e-6)
