"""Scores of several classes; those of groups and of ranks are in test_group.py and test_ranks.py."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.metrics import BinaryScores, Dice, DiceSet, IoU, PixelAccuracy
from segfield.metrics.group import DiceGroup, MulticlassDiceGroup
from segfield.metrics.multiclass import ClassDice, MulticlassDice, MulticlassScores, predicted_class

NAMES = ["background", "cell", "debris"]


def scores(
    predicted: list[list[int]], true: list[list[int]], valid: list[list[int]] | None = None, names: list[str] = NAMES
) -> dict[str, float]:
    """Score images that are rows of pixels."""
    logits = F.one_hot(torch.tensor(predicted), len(names)).movedim(-1, 1)[:, :, None] * 3.0
    inside = None if valid is None else torch.tensor(valid)[:, None, None].bool()
    metrics = MulticlassScores(names)
    metrics.update(logits, torch.tensor(true)[:, None], inside, [""] * len(predicted))
    return {name: float(value) for name, value in metrics.compute().items()}


def random_set(images: int = 7, classes: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(images, classes, 9, 7, generator=rng)
    target = torch.randint(0, classes, (images, 9, 7), generator=rng)
    valid = torch.rand(images, 1, 9, 7, generator=rng) > 0.2
    target[1], logits[2, 1:], valid[3] = 0, -4.0, False
    target[4][target[4] == 2] = 0
    return logits, target, valid


# Image 1: cell has 2 hits, 1 missed, 1 false alarm; debris 1 hit. Image 2 has no debris: cell 1 hit, 1 missed.
PREDICTED, TRUE = [[1, 1, 1, 0, 2], [1, 0, 0, 0, 0]], [[1, 1, 0, 1, 2], [1, 1, 0, 0, 0]]


def test_scores_are_those_counted_by_hand() -> None:
    expected = {
        "dice": ((4 / 6 + 1) / 2 + 2 / 3) / 2,
        "dice_set": (6 / 9 + 1) / 2,
        "iou": (3 / 6 + 1) / 2,
        "accuracy": 7 / 10,
        "dice_cell": (4 / 6 + 2 / 3) / 2,
        "dice_debris": 1,
        "iou_cell": 3 / 6,
        "iou_debris": 1,
    }
    assert scores(PREDICTED, TRUE) == pytest.approx(expected, abs=1e-7)


def test_a_class_that_only_truth_or_only_prediction_has_counts_zero() -> None:
    for predicted, true in (([[1, 2]], [[1, 0]]), ([[1, 0]], [[1, 2]])):
        found = scores(predicted, true)
        assert (found["dice"], found["dice_set"], found["iou"], found["dice_debris"]) == (0.5, 0.5, 0.5, 0)


def test_a_class_that_neither_has_counts_nowhere_and_scores_one() -> None:
    found = scores([[1, 1, 0]], [[1, 0, 0]])
    assert found["dice"] == found["dice_set"] == found["dice_cell"] == pytest.approx(2 / 3)
    assert found["iou"] == found["iou_cell"] == 0.5
    assert (found["dice_debris"], found["iou_debris"]) == (1, 1)


def test_an_image_without_foreground_in_truth_and_prediction_counts_one() -> None:
    assert scores([[0, 0], [1, 0]], [[0, 0], [0, 1]])["dice"] == 0.5


def test_a_set_without_foreground_or_without_a_valid_pixel_scores_one() -> None:
    assert set(scores([[0, 0]], [[0, 0]]).values()) == {1}
    assert set(scores([[1, 2]], [[2, 0]], [[0, 0]]).values()) == {1}


def test_pixels_outside_valid_do_not_count_whatever_their_class() -> None:
    padded, inside = [[*image, 1, 2] for image in PREDICTED], [[1] * 5 + [0] * 2] * 2
    assert scores(padded, [[*image, 255, 1] for image in TRUE], inside) == scores(PREDICTED, TRUE)


def test_an_image_without_a_valid_pixel_is_not_counted() -> None:
    assert scores([[1, 0], [0, 1]], [[0, 1], [0, 1]], [[1, 1], [0, 0]])["dice"] == 0


def test_two_classes_score_what_one_logit_scores() -> None:
    logits, target, valid = random_set(classes=2)
    names, groups = ["background", "thing"], list("abacbad")
    several = MulticlassScores(names, {"dice_group": MulticlassDiceGroup(names)})
    one = BinaryScores(
        {"dice": Dice(), "dice_set": DiceSet(), "iou": IoU(), "accuracy": PixelAccuracy(), "dice_group": DiceGroup()}
    )
    for metrics, given in ((several, logits), (one, logits[:, 1:] - logits[:, :1])):
        metrics.update(given, target, valid, groups)
    found, expected = several.compute(), one.compute()
    assert {name: found[name] for name in expected} == expected
    assert (found["dice_thing"], found["iou_thing"]) == (expected["dice"], expected["iou"])
    assert len(set(expected.values())) == 5


@pytest.mark.parametrize("cut", [[1] * 7, [3, 4], [2, 4, 1]])
def test_scores_are_bitwise_the_same_for_any_cutting_into_batches(cut: list[int]) -> None:
    whole, parts = (MulticlassScores(NAMES, {"group": MulticlassDiceGroup(NAMES)}) for _ in range(2))
    whole.update(*random_set(), list("abacbad"))
    letters = iter("abacbad")
    for part in zip(*(torch.split(a, cut) for a in random_set()), strict=True):
        parts.update(*part, [next(letters) for _ in part[0]])
    assert parts.compute() == whole.compute()
    assert len(set(whole.compute().values())) == 9


def test_a_batch_is_counted_once_for_all_scores_and_apart_for_others() -> None:
    metrics = MulticlassScores(NAMES, {"group": MulticlassDiceGroup(NAMES)}).clone(prefix="val/")
    (together, apart) = metrics.compute_groups.values()
    assert together == ["dice", "dice_set", "iou", "accuracy", "dice_cell", "dice_debris", "iou_cell", "iou_debris"]
    assert apart == ["group"]
    assert "val/dice_cell" in metrics.keys()  # noqa: SIM118, a module dict's own names lack the prefix


def test_scores_that_are_reset_one_by_one_are_together_again_after_the_next_batch() -> None:
    metrics, fresh = MulticlassScores(NAMES), MulticlassScores(NAMES)
    metrics.update(*random_set(), [""] * 7)
    for metric in metrics.values(copy_state=False):
        metric.reset()  # as Lightning does at an epoch's end
    for each in (metrics, fresh):
        each.update(*(a[4:] for a in random_set()), [""] * 3)
    assert {n: metric.compute() for n, metric in metrics.items(copy_state=False)} == fresh.compute()


def test_states_are_int64_sums_that_can_be_added_up() -> None:
    whole, first, second = (MulticlassDice(NAMES) for _ in range(3))
    for metric, images in ((whole, slice(7)), (first, slice(0, 7, 2)), (second, slice(1, 7, 2))):
        metric.update(*(a[images] for a in random_set()), [""])
        assert metric.counts.dtype == torch.int64
    first.merge_state(second)
    assert torch.equal(first.counts, whole.counts)


def test_dice_of_a_large_image_does_not_overflow() -> None:
    metric, pixels = ClassDice(NAMES, 2), torch.tensor([[0, 0, 2**29]])
    metric._add(pixels, pixels, pixels, [""])
    metric._update_count = 1
    assert metric.compute() == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_predicted_class_is_the_first_of_the_largest_logits(dtype: torch.dtype) -> None:
    logits = torch.randint(-2, 3, (3, 5, 8, 6), generator=torch.Generator().manual_seed(0)).to(dtype)
    assert (predicted_class(logits).numpy() == logits.float().numpy().argmax(1)).all()  # numpy promises the first


def test_inputs_stay_as_they_are() -> None:
    arrays = random_set()
    before = [a.clone() for a in arrays]
    MulticlassScores(NAMES).update(*arrays, [""] * 7)
    assert all(torch.equal(a, b) for a, b in zip(arrays, before, strict=True))


def test_a_group_is_scored_by_sums_over_its_images() -> None:
    metric = MulticlassDiceGroup(NAMES)
    logits = F.one_hot(torch.tensor([[1, 1, 0], [0, 0, 2], [1, 0, 0]]), 3).movedim(-1, 1)[:, :, None] * 3.0
    metric.update(logits, torch.tensor([[1, 0, 0], [0, 0, 2], [0, 0, 0]])[:, None], None, ["a", "b", "a"])
    assert metric.compute() == pytest.approx((2 / 4 + 1) / 2)


def test_logits_of_another_number_of_classes_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"\[N, 3, H, W\] for the classes background, cell, debris; got \[2, 4, 8, 8\]"
    ):
        MulticlassScores(NAMES).update(torch.zeros(2, 4, 8, 8), torch.zeros(2, 8, 8).long(), None, [""] * 2)


@pytest.mark.parametrize(
    ("target", "valid", "word"), [((2, 8, 6), (2, 1, 8, 8), "target"), ((2, 8, 8), (2, 8, 8), "valid")]
)
def test_arrays_that_do_not_fit_are_refused(target: tuple[int, ...], valid: tuple[int, ...], word: str) -> None:
    with pytest.raises(ValueError, match=rf"got {word} \[2, 8, .\] for logits \[2, 3, 8, 8\]\. Crop or pad it"):
        MulticlassDice(NAMES).update(torch.zeros(2, 3, 8, 8), torch.zeros(target).long(), torch.ones(valid).bool(), [])


@pytest.mark.parametrize("names", [["background"], [str(number) for number in range(300)]])
def test_too_few_or_too_many_classes_are_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"needs 2 to 255 classes.*or task=binary"):
        MulticlassScores(names)


def test_a_class_whose_name_makes_that_of_another_score_is_refused() -> None:
    with pytest.raises(ValueError, match=r"class 'set' makes the name dice_set.*Rename it in data\.classes: set_class"):
        MulticlassScores(["background", "set"])
    with pytest.raises(ValueError, match=r"class 'group' makes the name dice_group"):
        MulticlassScores(["background", "group"], {"dice_group": MulticlassDiceGroup(["background", "group"])})
