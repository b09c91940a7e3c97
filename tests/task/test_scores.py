from collections.abc import Callable
from typing import Any, final

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn

from segfield.data.loader import collate
from segfield.data.module import PixelwiseData
from segfield.metrics import Dice, IoU
from segfield.task import PixelwiseTask

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
]

TaskOf = Callable[..., PixelwiseTask]
TrainerOf = Callable[..., pl.Trainer]
BatchOf = Callable[..., dict[str, Any]]
DataOf = Callable[..., PixelwiseData]


def test_declared_names_are_the_scores_that_a_fit_logs(task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf) -> None:
    task, trainer = task_of(), trainer_of()
    names = task.logged_names()
    trainer.fit(task, datamodule=bright(batch_size=5))
    logged = {name for name in trainer.callback_metrics if name.startswith(("train/", "val/"))}
    assert len(names) == len(set(names))
    assert set(names) == logged - {"train/loss_step"}
    assert {f"{stage}/{score}" for stage in ("train", "val") for score in ("loss", "dice", "iou")} == set(names)


@final
class Written(Logger):
    """A logger that keeps what it is given: (step, names and values)."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[int | None, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "written"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.points.append((step, dict(metrics)))

    def log_hyperparams(self, *_: Any) -> None:
        pass

    def of_steps(self) -> list[tuple[int | None, dict[str, float]]]:
        return [point for point in self.points if "lr" in point[1]]


@final
class Losses(Callback):
    """Keeps the loss of each batch, as it was before Lightning divided it."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        def keep(module: nn.Module, _: Any, output: Tensor) -> None:
            if trainer.training:
                self.losses.append(output.item())

        pl_module.get_submodule("loss").register_forward_hook(keep)


@pytest.mark.filterwarnings("ignore:The number of training batches")  # fewer than log_every_n_steps, on purpose
@pytest.mark.parametrize(
    ("changes", "steps", "batches"),
    [
        ({"log_every_n_steps": 1}, [0, 1, 2, 3], [0, 1, 2, 3]),
        ({"log_every_n_steps": 2}, [1, 3], [1, 3]),
        ({"log_every_n_steps": 3}, [2], [2]),
        ({"log_every_n_steps": 0}, [], []),
        ({"log_every_n_steps": 1, "accumulate_grad_batches": 2}, [0, 1, 2, 3], [1, 3, 5, 7]),
        ({"log_every_n_steps": 2, "accumulate_grad_batches": 2, "limit_train_batches": 3}, [1, 3], [2, 5]),
    ],
)
def test_every_nth_step_is_logged_once_with_its_loss_and_its_learning_rate(
    changes: dict[str, int],
    steps: list[int],
    batches: list[int],
    task_of: TaskOf,
    trainer_of: TrainerOf,
    bright: DataOf,
) -> None:
    task = task_of(
        scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5), scheduler_interval="step"
    )
    logger, losses = Written(), Losses()
    trainer_of(losses, logger=logger, **changes).fit(task, datamodule=bright(batch_size=4))
    points = logger.of_steps()
    assert [step for step, _ in points] == steps
    assert [point["train/loss_step"] for _, point in points] == [losses.losses[batch] for batch in batches]
    assert [point["lr"] for _, point in points] == [0.1 * 0.5**step for step in steps]


def test_callbacks_see_loss_and_learning_rate_of_an_epochs_last_step(
    task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf
) -> None:
    losses = Losses()
    trainer = trainer_of(losses, log_every_n_steps=100)
    trainer.fit(task_of(), datamodule=bright(batch_size=5))
    assert trainer.callback_metrics["lr"] == pytest.approx(0.1)
    assert float(trainer.callback_metrics["train/loss_step"]) == losses.losses[-1]


@final
class Recount(Callback):
    """Scores the training batches of each epoch once more, from what the network gave; stops after some if asked to."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.batches = stop_after, list[tuple[Tensor, Tensor, float]]()
        self.expected: list[dict[str, float]] = []
        self.found: list[dict[str, float]] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if trainer.training:
                self.batches.append((inputs[0].detach(), inputs[1], output.item()))

        pl_module.get_submodule("loss").register_forward_hook(keep)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.should_stop or len(self.batches) == self.stop_after

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.found.append({name: float(trainer.callback_metrics[f"train/{name}"]) for name in ("loss", "dice", "iou")})
        self._count()

    def _count(self) -> None:
        scores: dict[str, Any] = {"dice": Dice(), "iou": IoU()}
        for score in scores.values():
            for logits, target, _ in self.batches:
                score.update(logits, target, None, [])
        images = sum(len(target) for _, target, _ in self.batches)
        loss = sum(loss * len(target) for _, target, loss in self.batches) / images
        self.expected.append({"loss": loss, **{name: float(score.compute()) for name, score in scores.items()}})
        self.batches = []


@pytest.mark.parametrize(
    ("changes", "stop_after"),
    [
        ({}, None),
        ({"accumulate_grad_batches": 2}, None),
        ({"limit_train_batches": 2}, None),
        ({"val_check_interval": 1}, None),
        ({}, 2),
        ({"check_val_every_n_epoch": 2, "num_sanity_val_steps": 1}, None),
    ],
)
def test_training_scores_are_those_of_all_batches_of_the_epoch(
    changes: dict[str, Any], stop_after: int | None, task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf
) -> None:
    recount = Recount(stop_after)
    trainer_of(recount, **changes).fit(task_of(), datamodule=bright(batch_size=2))
    assert len(recount.found) == (1 if stop_after else 2)
    for found, expected in zip(recount.found, recount.expected, strict=True):
        assert found == {**expected, "loss": pytest.approx(expected["loss"], rel=1e-6)}
        assert 0 < found["dice"] < 1


def test_a_second_fit_of_a_task_logs_its_scores_too(task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf) -> None:
    task, recount = task_of(), Recount()
    trainer_of(max_epochs=1).fit(task, datamodule=bright(batch_size=5))
    trainer_of(recount, max_epochs=1).fit(task, datamodule=bright(batch_size=5))
    assert [score["dice"] for score in recount.found] == [score["dice"] for score in recount.expected]


def test_a_loss_that_is_no_number_makes_the_epochs_mean_no_number(
    task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf
) -> None:
    trainer = trainer_of(max_epochs=1)
    task = task_of(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1e30))
    trainer.fit(task, datamodule=bright(batch_size=5))
    assert torch.isnan(trainer.callback_metrics["train/loss"])


def test_a_test_logs_its_scores_under_test(task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf) -> None:
    data = bright(batch_size=5)
    data.setup()
    (scores,) = trainer_of().test(task_of(), data.val_dataloader(), verbose=False)
    assert set(scores) == {"test/loss", "test/dice", "test/iou"}


def test_validation_loss_is_the_mean_over_images_whatever_the_batch_size(
    task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf
) -> None:
    task, data = task_of(), bright(batch_size=1)
    data.setup()
    task.eval()
    with torch.no_grad():
        batches = [task.prepare(collate([data.item(i)])) for i in data.indices("val")]
        each = [float(task.loss(task(batch["image"]), batch["target"])) for batch in batches]
    assert len(each) == 10
    for batch_size in (3, 4, 10):
        trainer = trainer_of()
        (scores,) = trainer.validate(task, datamodule=bright(batch_size=batch_size), verbose=False)
        assert scores["val/loss"] == pytest.approx(np.mean(each), rel=1e-6)
    assert np.mean(each[:9]) != pytest.approx(np.mean(each), rel=1e-4), "the short batch must matter"
