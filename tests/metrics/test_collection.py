"""Scores that are counted together, and the mean of a loss."""

import pytest
import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric, MetricCollection

from segfield.metrics import BinaryScores, Dice, DiceSet, IoU, MeanLoss, PixelAccuracy


def update(metric: Metric | MetricCollection, logits: Tensor, target: Tensor, valid: Tensor | None = None) -> None:
    metric.update(logits, target, valid, ["one group"] * len(logits))


def random_set(images: int) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(images, 1, 9, 7, generator=rng)
    target = (torch.rand(images, 9, 7, generator=rng) > 0.7).long()
    valid = torch.rand(images, 1, 9, 7, generator=rng) > 0.2
    target[1], logits[2], valid[3] = 0, -4.0, False
    return logits, target, valid


def collection() -> MetricCollection:
    metrics = {"dice": Dice(), "dice_set": DiceSet(), "iou": IoU(), "accuracy": PixelAccuracy()}
    return BinaryScores(metrics).clone(prefix="train/")


def test_a_collection_gives_what_its_scores_give_singly() -> None:
    arrays, metrics = random_set(5), collection()
    singly = {"train/dice": Dice(), "train/dice_set": DiceSet(), "train/iou": IoU(), "train/accuracy": PixelAccuracy()}
    for part in ([a[:2] for a in arrays], [a[2:] for a in arrays]):
        update(metrics, *part)
        for metric in singly.values():
            update(metric, *part)
    assert metrics.compute() == {name: metric.compute() for name, metric in singly.items()}
    assert len(set(metrics.compute().values())) == 4


def test_a_collection_counts_a_batch_once_for_the_scores_of_a_threshold() -> None:
    metrics = BinaryScores({"low": IoU(0.2), "iou": IoU(), "dice": Dice(), "loss": MeanMetric()})
    assert list(metrics.compute_groups.values()) == [["low"], ["iou", "dice"], ["loss"]]


def test_scores_of_different_thresholds_are_counted_apart() -> None:
    metrics = BinaryScores({"iou": IoU(), "low": IoU(0.2), "high": IoU(0.8)})
    update(metrics, *random_set(6))
    scores = metrics.compute()
    for name, threshold in {"iou": 0.5, "low": 0.2, "high": 0.8}.items():
        metric = IoU(threshold)
        update(metric, *random_set(6))
        assert scores[name] == metric.compute()
    assert len(set(scores.values())) == 3


def test_scores_that_are_reset_one_by_one_are_together_again_after_the_next_batch() -> None:
    metrics, fresh = collection(), collection()
    update(metrics, *random_set(5))
    for metric in metrics.values(copy_state=False):
        metric.reset()  # as Lightning does at an epoch's end
    members = dict(metrics.items(copy_state=False))
    for each in (metrics, fresh):
        update(each, *(a[:1] for a in random_set(5)))
    assert {name: metric.compute() for name, metric in members.items()} == fresh.compute()


def test_an_image_without_a_valid_pixel_does_not_count_in_the_mean_loss() -> None:
    metric, valid = MeanLoss(), torch.ones(4, 1, 2, 2, dtype=torch.bool)
    valid[1] = False
    valid[2, 0, 0] = False
    metric.update(torch.tensor((1.0 + 0.0 + 2.0 + 3.0) / 4), 4, valid)
    metric.update(torch.tensor(4.0), 1)
    assert metric.compute() == (1 + 2 + 3 + 4) / 4


@pytest.mark.parametrize("cut", [[7], [1] * 7, [3, 4]])
def test_mean_loss_is_the_mean_over_images(cut: list[int]) -> None:
    losses, metric = torch.arange(7.0), MeanLoss()
    for part in torch.split(losses, cut):
        metric.update(part.mean(), len(part))
    assert metric.compute() == 3
