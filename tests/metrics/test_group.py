"""Dice of whole groups, which batches cut in pieces."""

import itertools

import pytest
import torch
from torch import Tensor
from torchmetrics import MetricCollection

from segfield.metrics import BinaryScores, Dice, DiceSet, IoU
from segfield.metrics.group import DiceGroup

GROUPS = ["a", "b", "a", "c", "b", "a", "d"]


def score(predicted: list[list[int]], true: list[list[int]], group: str, valid: list[list[int]] | None = None) -> float:
    """Score images that are rows of pixels; a letter each names their groups."""
    inside = None if valid is None else torch.tensor(valid)[:, None, None].bool()
    metric = DiceGroup()
    metric.update(torch.tensor(predicted)[:, None, None] * 8.0 - 4, torch.tensor(true)[:, None], inside, list(group))
    return float(metric.compute())


def random_set(images: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(images, 1, 9, 7, generator=rng)
    target = (torch.rand(images, 9, 7, generator=rng) > 0.7).long()
    valid = torch.rand(images, 1, 9, 7, generator=rng) > 0.2
    target[1], logits[2], valid[3], target[6], logits[6] = 0, -4.0, False, 0, -4.0
    return logits, target, valid


def of_all(metric: DiceGroup | None = None) -> Tensor:
    metric = metric or DiceGroup()
    metric.update(*random_set(), GROUPS)
    value: Tensor = metric.compute()
    return value


def test_a_group_is_scored_by_sums_over_its_images_and_each_group_counts_the_same() -> None:
    # a: 2 hits, 3 predicted, 2 true; b: 1 hit, 1 predicted, 3 true.
    predicted, true = [[1, 1, 0], [1, 0, 0], [0, 0, 1]], [[1, 0, 0], [1, 1, 1], [0, 0, 1]]
    assert score(predicted, true, "aba") == pytest.approx((4 / 5 + 2 / 4) / 2, abs=1e-7)


def test_an_empty_image_of_a_group_changes_nothing() -> None:
    assert score([[1, 1, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0]], "aa") == score([[1, 1, 0]], [[1, 0, 0]], "a")


def test_a_group_with_truth_and_prediction_empty_counts_as_one() -> None:
    assert score([[0, 0], [1, 0], [0, 0]], [[0, 0], [0, 1], [0, 0]], "aba") == 0.5


def test_a_group_with_one_of_them_empty_counts_as_zero() -> None:
    assert score([[1, 0], [1, 0], [0, 0]], [[0, 0], [1, 0], [0, 0]], "aba") == 0.5


def test_a_group_without_a_valid_pixel_is_not_counted() -> None:
    assert score([[1, 0], [1, 0]], [[0, 1], [1, 0]], "ab", [[0, 0], [1, 1]]) == 1


def test_pixels_outside_valid_do_not_count() -> None:
    assert score([[1, 1, 0], [1, 0, 1]], [[1, 0, 0], [1, 0, 0]], "aa", [[1, 0, 1], [1, 1, 0]]) == 1


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric DiceGroup was called before")
def test_nothing_scores_one() -> None:
    assert DiceGroup().compute() == 1


def test_a_group_is_neither_an_image_nor_the_set() -> None:
    metrics = MetricCollection([Dice(), DiceSet(), DiceGroup()], compute_groups=False)
    metrics.update(*random_set(), GROUPS)
    assert len({float(value) for value in metrics.compute().values()}) == 3


@pytest.mark.parametrize("names", [["1", "01"], ["a/b", "a-b"], ["", " "], ["Müller", "Muller"]])
def test_groups_of_different_names_are_different(names: list[str]) -> None:
    metric = DiceGroup()
    metric.update(torch.tensor([4.0, -4.0]).view(2, 1, 1, 1), torch.tensor([1, 1]).view(2, 1, 1), None, names)
    assert metric.compute() == 0.5


@pytest.mark.parametrize("cut", [[1] * 7, [3, 4], [2, 4, 1]])
@pytest.mark.parametrize("order", [range(7), [6, 2, 0, 5, 1, 4, 3]])
def test_the_score_is_bitwise_the_same_for_any_order_and_any_cutting_into_batches(
    cut: list[int], order: list[int]
) -> None:
    metric, arrays = DiceGroup(), [array[list(order)] for array in random_set()]
    for start, end in itertools.pairwise([0, *itertools.accumulate(cut)]):
        metric.update(*(array[start:end] for array in arrays), [GROUPS[i] for i in order][start:end])
    assert torch.equal(metric.compute(), of_all())
    assert 0 < of_all() < 1


def test_the_score_is_bitwise_the_same_for_states_of_two_ranks_joined() -> None:
    first, second = DiceGroup(), DiceGroup()
    for metric, images in ((first, slice(0, None, 2)), (second, slice(1, None, 2))):
        metric.update(*(array[images] for array in random_set()), GROUPS[images])
    first.merge_state(second)
    assert torch.equal(first.compute(), of_all())


def test_memory_grows_with_the_groups_and_not_with_the_images() -> None:
    metric, often = DiceGroup(), DiceGroup()
    for _ in range(700):
        metric.update(*random_set(), GROUPS)
    assert sum(len(rows) for rows in metric.rows) <= 256 * 7
    assert len(metric.rows) <= 257
    for _ in range(2):
        often.update(*(array.repeat(350, *[1] * (array.ndim - 1)) for array in random_set()), GROUPS * 350)
    assert torch.equal(metric.compute(), often.compute())
    assert [tuple(rows.shape) for rows in metric.rows] == [(4, 5)]


def test_a_group_of_very_many_pixels_does_not_overflow() -> None:
    metric, pixels = DiceGroup(), torch.tensor([2**42])
    metric.update(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1).long(), None, ["all"])
    for _ in range(300):
        metric._add(pixels, pixels, pixels, pixels, ["all"])
    assert metric.compute() == 1


def test_computing_in_between_changes_nothing() -> None:
    metric = DiceGroup()
    for start in range(7):
        metric.update(*(array[start : start + 1] for array in random_set()), GROUPS[start : start + 1])
        metric.compute()
    assert torch.equal(metric.compute(), of_all())


def test_reset_forgets_everything() -> None:
    metric = DiceGroup()
    metric.update(-random_set()[0], *random_set()[1:], GROUPS)
    metric.reset()
    assert metric.rows == []
    assert torch.equal(of_all(metric), of_all())


def test_calling_it_gives_the_batch_and_keeps_the_sum() -> None:
    metric, batch = DiceGroup(), DiceGroup()
    metric(*(array[:3] for array in random_set()), GROUPS[:3])
    value = metric(*(array[3:] for array in random_set()), GROUPS[3:])
    batch.update(*(array[3:] for array in random_set()), GROUPS[3:])
    assert torch.equal(value, batch.compute())
    assert torch.equal(metric.compute(), of_all())


def test_a_collection_keeps_it_apart_from_the_scores_that_know_no_groups() -> None:
    metrics = BinaryScores({"dice": Dice(), "dice_group": DiceGroup(), "iou": IoU()}).clone(prefix="val/")
    assert sorted(map(sorted, metrics.compute_groups.values())) == [["dice", "iou"], ["dice_group"]]
    for start in range(7):
        metrics.update(*(array[start : start + 1] for array in random_set()), GROUPS[start : start + 1])
    assert torch.equal(metrics.compute()["val/dice_group"], of_all())


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"DiceGroup needs logits \[N, 1, H, W\] and a target .* got logits"):
        DiceGroup().update(torch.zeros(2, 2, 4, 4), torch.zeros(2, 4, 4).long(), None, ["a", "b"])
