import math

import pytest
import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities import dim_zero_sum

from segfield.metrics import BinaryScores, Dice, DiceSet, IoU, PixelAccuracy

ALL = [Dice, DiceSet, IoU, PixelAccuracy]
HIT, MISS = 4.0, -4.0


def update(metric: Metric | MetricCollection, logits: Tensor, target: Tensor, valid: Tensor | None = None) -> None:
    metric.update(logits, target, valid, ["one group"] * len(logits))


def score(
    metric: Metric, predicted: list[list[int]], true: list[list[int]], valid: list[list[int]] | None = None
) -> float:
    """Score images that are rows of pixels."""
    logits = torch.tensor(predicted)[:, None, None] * (HIT - MISS) + MISS
    inside = None if valid is None else torch.tensor(valid)[:, None, None].bool()
    update(metric, logits, torch.tensor(true)[:, None], inside)
    return float(metric.compute())


def random_set(images: int) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(images, 1, 9, 7, generator=rng)
    target = (torch.rand(images, 9, 7, generator=rng) > 0.7).long()
    valid = torch.rand(images, 1, 9, 7, generator=rng) > 0.2
    target[1], logits[2], valid[3] = 0, MISS, False
    return logits, target, valid


def collection() -> MetricCollection:
    metrics = {"dice": Dice(), "dice_set": DiceSet(), "iou": IoU(), "accuracy": PixelAccuracy()}
    return BinaryScores(metrics).clone(prefix="train/")


# Image 1: 2 hits, 1 missed, 1 false alarm. Image 2: 1 hit, 3 missed.
PREDICTED, TRUE = [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], [[1, 1, 0, 1, 0], [1, 1, 1, 1, 0]]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(Dice, (4 / 6 + 2 / 5) / 2), (DiceSet, 2 * 3 / (4 + 7)), (IoU, 3 / 8), (PixelAccuracy, 5 / 10)],
)
def test_scores_are_those_counted_by_hand(kind: type[Metric], expected: float) -> None:
    assert score(kind(), PREDICTED, TRUE) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("kind", ALL)
def test_perfect_prediction_scores_exactly_one(kind: type[Metric]) -> None:
    assert score(kind(), TRUE, TRUE) == 1


def test_dice_counts_an_image_with_both_masks_empty_as_one() -> None:
    assert score(Dice(), [[0, 0], [1, 0]], [[0, 0], [0, 1]]) == 0.5


def test_dice_counts_an_image_with_one_mask_empty_as_zero() -> None:
    assert score(Dice(), [[0, 1], [0, 0]], [[0, 0], [0, 1]]) == 0


@pytest.mark.parametrize("kind", ALL)
def test_set_without_foreground_scores_one(kind: type[Metric]) -> None:
    assert score(kind(), [[0, 0]], [[0, 0]]) == 1


@pytest.mark.parametrize("kind", ALL)
def test_set_without_a_valid_pixel_scores_one(kind: type[Metric]) -> None:
    assert score(kind(), [[1, 0]], [[0, 1]], [[0, 0]]) == 1


@pytest.mark.parametrize("kind", [DiceSet, IoU])
def test_false_alarm_on_an_empty_set_scores_zero(kind: type[Metric]) -> None:
    assert score(kind(), [[1, 0]], [[0, 0]]) == 0


def test_dice_does_not_count_an_image_without_a_valid_pixel() -> None:
    assert score(Dice(), [[1, 0], [0, 1]], [[0, 1], [0, 1]], [[1, 1], [0, 0]]) == 0


@pytest.mark.parametrize("kind", ALL)
def test_pixels_outside_valid_do_not_count(kind: type[Metric]) -> None:
    padded_prediction, padded_truth = [[*p, 1, 0] for p in PREDICTED], [[*t, 0, 1] for t in TRUE]
    inside = [[1, 1, 1, 1, 1, 0, 0]] * 2
    assert score(kind(), padded_prediction, padded_truth, inside) == score(kind(), PREDICTED, TRUE)


@pytest.mark.parametrize("cut", [[1] * 7, [3, 4], [2, 4, 1]])
def test_scores_are_bitwise_the_same_for_any_cutting_into_batches(cut: list[int]) -> None:
    arrays = random_set(7)
    whole, parts = collection(), collection()
    update(whole, *arrays)
    for part in zip(*(torch.split(a, cut) for a in arrays), strict=True):
        update(parts, *part)
    assert parts.compute() == whole.compute()
    assert 0 < whole.compute()["train/dice"] < 1


@pytest.mark.parametrize("kind", ALL)
def test_scores_are_bitwise_the_same_for_states_of_two_ranks_added_up(kind: type[Metric]) -> None:
    logits, target, valid = random_set(7)
    whole, first, second = kind(), kind(), kind()
    update(whole, logits, target, valid)
    update(first, logits[::2], target[::2], valid[::2])
    update(second, logits[1::2], target[1::2], valid[1::2])
    first.merge_state(second)
    assert torch.equal(first.compute(), whole.compute())


@pytest.mark.parametrize("kind", ALL)
def test_states_are_int64_sums(kind: type[Metric]) -> None:
    metric = kind()
    update(metric, *random_set(7))
    states = [getattr(metric, name) for name in metric._defaults]
    assert len(states) == 1
    assert all(state.dtype == torch.int64 for state in states)
    assert all(reduce is dim_zero_sum for reduce in metric._reductions.values())


def test_dice_of_a_large_image_does_not_overflow() -> None:
    metric, pixels = Dice(), torch.tensor([2**29])
    update(metric, torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1).long())
    metric._add(pixels, pixels, pixels, pixels, [""])
    assert metric.counts[1] == 2
    assert metric.compute() == 1


def test_collection_names_its_scores_with_the_prefix_and_takes_valid_none() -> None:
    metrics = collection()
    update(metrics, *random_set(5)[:2])
    assert set(metrics.compute()) == {"train/dice", "train/dice_set", "train/iou", "train/accuracy"}


def test_reset_forgets_everything() -> None:
    metrics, fresh = collection(), collection()
    update(metrics, *random_set(5))
    metrics.reset()
    for each in (metrics, fresh):
        update(each, *(a[:1] for a in random_set(5)))
    assert metrics.compute() == fresh.compute()


def test_calling_a_metric_gives_the_batch_and_keeps_the_sum() -> None:
    logits, target, valid = random_set(6)
    metric, batch, whole = Dice(), Dice(), Dice()
    metric(logits[:2], target[:2], valid[:2], [""] * 2)
    value = metric(logits[2:], target[2:], valid[2:], [""] * 4)
    update(batch, logits[2:], target[2:], valid[2:])
    update(whole, logits, target, valid)
    assert value == batch.compute()
    assert metric.compute() == whole.compute()


@pytest.mark.parametrize(("threshold", "share"), [(0.5, 0.5), (0.2, 0.75), (0.9, 0.25)])
def test_threshold_is_a_probability_that_must_be_exceeded(threshold: float, share: float) -> None:
    probabilities = torch.tensor([0.1, 0.5, 0.6, 0.95]).double()
    logits = torch.log(probabilities / (1 - probabilities)).view(1, 1, 1, 4).float()
    metric = PixelAccuracy(threshold=threshold)
    update(metric, logits, torch.ones(1, 1, 4, dtype=torch.int64))
    assert metric.compute() == share


def test_logit_equal_to_the_threshold_is_background() -> None:
    metric = PixelAccuracy(threshold=0.8)
    update(metric, torch.full((1, 1, 1, 1), math.log(0.8 / 0.2)), torch.zeros(1, 1, 1, dtype=torch.int64))
    assert metric.compute() == 1


def test_bfloat16_logits_are_compared_in_float32() -> None:
    logits = torch.full((1, 1, 1, 1), 1.3828125, dtype=torch.bfloat16)  # what 1.3819, the logit of 0.7993, rounds to
    metric = PixelAccuracy(threshold=0.7993)
    update(metric, logits, torch.ones(1, 1, 1, dtype=torch.int64))
    assert metric.compute() == 1


@pytest.mark.parametrize("kind", ALL)
def test_boolean_target_is_accepted(kind: type[Metric]) -> None:
    logits, target, valid = random_set(6)
    as_bool, as_int = kind(), kind()
    update(as_bool, logits, target.bool(), valid)
    update(as_int, logits, target, valid)
    assert as_bool.compute() == as_int.compute()


@pytest.mark.parametrize("kind", ALL)
def test_inputs_stay_as_they_are(kind: type[Metric]) -> None:
    arrays = random_set(6)
    before = [a.clone() for a in arrays]
    update(kind(), *arrays)
    assert all(torch.equal(a, b) for a, b in zip(arrays, before, strict=True))


@pytest.mark.parametrize("kind", ALL)
def test_metrics_declare_what_torchmetrics_asks(kind: type[Metric]) -> None:
    assert kind.higher_is_better is True
    assert kind.is_differentiable is False
    assert kind.full_state_update is False


@pytest.mark.parametrize(
    ("shape", "target"), [((2, 2, 8, 8), (2, 8, 8)), ((2, 1, 8, 8), (2, 8, 6)), ((2, 8, 8), (2, 8, 8))]
)
def test_logits_and_target_that_do_not_fit_are_refused(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Dice needs logits \[N, 1, H, W\] and a target .* got logits .* and target"):
        update(Dice(), torch.zeros(shape), torch.zeros(target, dtype=torch.int64))


def test_valid_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"IoU needs valid .* got valid \[2, 8, 8\] for logits \[2, 1, 8, 8\]"):
        update(IoU(), torch.zeros(2, 1, 8, 8), torch.zeros(2, 8, 8).long(), torch.ones(2, 8, 8).bool())


@pytest.mark.parametrize("threshold", [0.0, 1.0, -3.0, float("nan")])
def test_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"probability above 0 and below 1; got .* Use task\.threshold=0\.5"):
        Dice(threshold=threshold)
