import random
from collections.abc import Callable
from typing import Any, final

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn

from segfield.data.module import PixelwiseData
from segfield.seeds import step_seed
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
DataOf = Callable[..., PixelwiseData]


@final
class Seen:
    """An augmentation that keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, int, int]] = []

    def __call__(self, batch: dict[str, Any], seed: int, epoch: int) -> dict[str, Any]:
        self.calls.append((float(batch["image"].max()), seed, epoch))
        return {**batch, "image": torch.zeros_like(batch["image"])}


def test_augmentation_comes_before_standardisation_and_knows_seed_and_epoch(task_of: TaskOf) -> None:
    seen = Seen()
    task = task_of(augmentation=seen, seed=7, mean=0.5, std=0.25)
    result = task.prepare({"image": torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)}, augment=True)
    assert seen.calls == [(1.0, 7, 0)]
    assert torch.equal(result["image"], torch.full((1, 1, 2, 2), -2.0))


def test_only_training_batches_are_augmented(task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf) -> None:
    seen, data = Seen(), bright(batch_size=5)
    trainer = trainer_of(num_sanity_val_steps=1)
    trainer.fit(task_of(augmentation=seen), datamodule=data)
    assert [epoch for _, _, epoch in seen.calls] == [0, 0, 1, 1]
    trainer.validate(trainer.lightning_module, datamodule=data, verbose=False)
    assert len(seen.calls) == 4


@final
class Masks(Callback):
    """Keeps what dropout lets through, by epoch and batch; disturbs torch's generator between batches if asked to."""

    def __init__(self, disturb: bool = False) -> None:
        self.disturb, self.masks = disturb, dict[tuple[int, int], Tensor]()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        def keep(module: nn.Module, _: Any, output: Tensor) -> None:
            if module.training:
                place = (trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_idx)
                self.masks[place] = (output != 0).clone()

        pl_module.get_submodule("model.1").register_forward_hook(keep)

    def on_train_batch_end(self, *_: Any) -> None:
        if self.disturb:
            torch.rand(17)


MasksOf = Callable[..., dict[tuple[int, int], Tensor]]


@pytest.fixture
def masks_of(task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf) -> MasksOf:
    """Train with dropout: masks_of(seed, torch_seed, disturb)."""

    def train(seed: int, torch_seed: int, disturb: bool = False) -> dict[tuple[int, int], Tensor]:
        callback = Masks(disturb)
        torch.manual_seed(5)
        network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(0.5), nn.Conv2d(4, 1, 1))
        torch.manual_seed(torch_seed)
        trainer_of(callback).fit(task_of(model=network, seed=seed), datamodule=bright(batch_size=5))
        return callback.masks

    return train


def test_dropout_is_a_function_of_seed_epoch_and_step_alone(masks_of: MasksOf) -> None:
    masks = masks_of(seed=1, torch_seed=1)
    again = masks_of(seed=1, torch_seed=2, disturb=True)
    assert list(masks) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(torch.equal(masks[place], again[place]) for place in masks)
    places = list(masks)
    assert not any(torch.equal(masks[a], masks[b]) for i, a in enumerate(places) for b in places[:i])
    other = masks_of(seed=2, torch_seed=1)
    assert not any(torch.equal(masks[place], other[place]) for place in places)


@final
class Draws(Callback):
    """Keeps what every global generator gives next at the start of each batch, and in other places disturbs them."""

    def __init__(self, disturb: bool) -> None:
        self.disturb, self.numbers = disturb, list[tuple[float, ...]]()

    def on_train_batch_start(self, *_: Any) -> None:
        self.numbers.append((random.random(), float(np.random.rand()), float(torch.rand(()))))

    def on_train_batch_end(self, *_: Any) -> None:
        for _time in range(self.disturb):
            random.random(), np.random.rand(), torch.rand(17)


def test_python_numpy_and_torch_draw_the_same_at_a_step_whatever_was_drawn_before(
    task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf
) -> None:
    calm, disturbed, other = Draws(disturb=False), Draws(disturb=True), Draws(disturb=False)
    for draws, seed in ((calm, 1), (disturbed, 1), (other, 2)):
        trainer_of(draws).fit(task_of(seed=seed), datamodule=bright(batch_size=5))
    assert len(calm.numbers) == 4
    assert calm.numbers == disturbed.numbers
    drawn = [number for numbers in (calm, other) for step in numbers.numbers for number in step]
    assert len(set(drawn)) == len(drawn) == 24


def test_seeds_of_steps_are_different_and_fit_into_torch() -> None:
    seeds = {step_seed(*key) for key in np.ndindex(2, 5, 20, 2)}
    assert len(seeds) == 400
    assert step_seed(0, 1, 2, 3) == step_seed(0, 1, 2, 3)
    assert all(0 <= seed < 2**63 for seed in seeds)
    for seed in seeds:
        torch.manual_seed(seed)


@pytest.mark.parametrize(("interval", "halvings"), [("epoch", 3), ("step", 6)])
def test_the_scheduler_is_stepped_once_an_epoch_or_once_a_step(
    interval: Any, halvings: int, task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf
) -> None:
    trainer = trainer_of(max_epochs=3)
    task = task_of(
        scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5),
        scheduler_interval=interval,
    )
    trainer.fit(task, datamodule=bright(batch_size=5))
    assert trainer.global_step == 6
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**halvings)


def test_without_a_scheduler_the_learning_rate_stays(task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf) -> None:
    trainer = trainer_of()
    trainer.fit(task_of(), datamodule=bright(batch_size=5))
    assert trainer.lr_scheduler_configs == []
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0.1


class Fading(nn.Module):
    """Right in the second of three epochs with two steps each: the level moves with the number of steps."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, image: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
        level = [0.9, 0.9, 0.9, 0.5, 0.5, 0.8, 0.8][int(self.steps)]
        return self.scale * (image - level)


def test_the_monitored_score_decides_which_epoch_is_the_best_checkpoint(
    task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf
) -> None:
    best = ModelCheckpoint(".", "best", monitor="val/dice", mode="max", enable_version_counter=False)
    task = task_of(model=Fading(), mean=0.0, std=1.0, optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    trainer_of(best, max_epochs=3).fit(task, datamodule=bright(batch_size=5))
    checkpoint = torch.load("best.ckpt", weights_only=True)
    assert best.best_model_score == 1.0
    assert (checkpoint["epoch"], int(checkpoint["state_dict"]["model.steps"])) == (1, 4)


@final
class Dtypes(Callback):
    """Keeps the number types of logits and losses."""

    def __init__(self) -> None:
        self.logits, self.losses = set[torch.dtype](), set[torch.dtype]()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.get_submodule("model").register_forward_hook(lambda m, i, output: self.logits.add(output.dtype))
        pl_module.get_submodule("loss").register_forward_hook(lambda m, i, output: self.losses.add(output.dtype))


def test_the_loss_stays_float32_where_the_network_is_bfloat16(
    task_of: TaskOf, trainer_of: TrainerOf, bright: DataOf
) -> None:
    dtypes = Dtypes()
    trainer = trainer_of(dtypes, precision="bf16-mixed", max_epochs=1)
    trainer.fit(task_of(), datamodule=bright(batch_size=5))
    assert dtypes.logits == {torch.bfloat16}
    assert dtypes.losses == {torch.float32}
    assert trainer.callback_metrics["val/loss"].dtype == torch.float32
