"""Half-accumulated scores of a training epoch in a checkpoint; whole runs are in tests/callbacks/test_resume.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchmetrics import MetricCollection

from segfield.metrics import BinaryScores, Dice, IoU
from segfield.metrics.group import DiceGroup, MulticlassDiceGroup
from segfield.metrics.multiclass import MulticlassScores
from segfield.task import PixelwiseTask

TaskOf = Callable[..., PixelwiseTask]
BatchOf = Callable[..., dict[str, Any]]


def scores() -> BinaryScores:
    return BinaryScores({"dice": Dice(), "iou": IoU(), "dice_group": DiceGroup()})


def scores_of_classes() -> MulticlassScores:
    return MulticlassScores(["background", "a", "b"], {"dice_group": MulticlassDiceGroup(["background", "a", "b"])})


def add(task: PixelwiseTask, batch: dict[str, Any], seed: int) -> None:
    """Add a batch as a training step does; its images are of three groups, as those of every other batch."""
    channels = 1 if "train/dice_a" not in task._scores("train") else 3
    logits = torch.randn(3, channels, 16, 16, generator=torch.Generator().manual_seed(seed))
    task._mean_loss("train").update(torch.tensor(0.3 + seed), 3)
    task._collection("train").update(logits, batch["target"], None, batch["group"])


def values(task: PixelwiseTask) -> dict[str, float]:
    return {name: float(score.compute()) for name, score in task._scores("train").items()}


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize(("metrics", "different"), [(scores, 4), (scores_of_classes, 9)], ids=["binary", "classes"])
def test_half_accumulated_scores_travel_with_a_checkpoint(
    batches: int,
    metrics: Callable[[], MetricCollection],
    different: int,
    task_of: TaskOf,
    batch_of: BatchOf,
    tmp_path: Path,
) -> None:
    task, other = task_of(metrics=metrics()), task_of(metrics=metrics())
    for seed in range(batches):
        add(task, batch_of(), seed)
    checkpoint: dict[str, Any] = {}
    task.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "one.ckpt")
    other.on_load_checkpoint(torch.load(tmp_path / "one.ckpt", weights_only=True))
    assert values(other) == values(task)
    for each in (task, other):
        add(each, batch_of(), 7)
    assert values(other) == values(task)
    assert len(set(values(task).values())) == different


def test_what_a_checkpoint_holds_is_a_copy(task_of: TaskOf, batch_of: BatchOf) -> None:
    task, other = task_of(metrics=scores()), task_of(metrics=scores())
    add(task, batch_of(), 0)
    expected, checkpoint = values(task), dict[str, Any]()
    task.on_save_checkpoint(checkpoint)
    add(task, batch_of(), 1)
    for score in task._scores("train").values():
        score.reset()
    other.on_load_checkpoint(checkpoint)
    assert values(other) == expected


def test_a_checkpoint_of_before_there_were_ranks_can_be_loaded(task_of: TaskOf, batch_of: BatchOf) -> None:
    task, other = task_of(metrics=scores()), task_of(metrics=scores())
    add(task, batch_of(), 0)
    checkpoint: dict[str, Any] = {}
    task.on_save_checkpoint(checkpoint)
    (states,) = checkpoint["train_metrics"]
    other.on_load_checkpoint({"train_metrics": states})
    assert values(other) == values(task)


def test_a_checkpoint_without_scores_can_be_loaded(task_of: TaskOf) -> None:
    task = task_of()
    task.on_load_checkpoint({})
    assert not any(score.update_called for score in task._scores("train").values())
