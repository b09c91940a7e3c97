import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn
from torchmetrics import MetricCollection

from segfield.augment import Augmentation
from segfield.data.module import PixelwiseData, Sample, collate
from segfield.losses import BCEDice
from segfield.metrics import Dice, IoU
from segfield.models.unet import UNet
from segfield.task import PixelwiseTask, step_seed

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
]


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Bright(PixelwiseData):
    """Noise of one channel; foreground is what is brighter than half."""

    in_channels: int = 1
    length: int = 20
    val_fraction: float = 0.5

    def samples(self) -> list[Sample]:
        return [Sample(f"{i:03d}", f"{i:03d}", {"index": i}) for i in range(self.length)]

    def read(self, sample: Sample) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(sample.attributes["index"])
        image = rng.integers(0, 256, (1, 16, 16), dtype=np.uint8)
        return {"image": image, "target": (image[0] > 127).astype(np.uint8)}


class Narrow(nn.Module):
    """A network without padding: logits are four pixels smaller on each side."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 9)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.layer(image)
        return logits


class Recorded(nn.Module):
    """A loss that keeps what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None, valid: Tensor | None) -> Tensor:
        self.calls.append((logits, target, weight, valid))
        return logits.mean()


def task_of(**changes: Any) -> PixelwiseTask:
    arguments: dict[str, Any] = {
        "model": UNet(1, 1, width=4, depth=2),
        "loss": BCEDice(),
        "metrics": MetricCollection({"dice": Dice(), "iou": IoU()}, compute_groups=False),
        "optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        "activation": nn.Sigmoid(),
        "monitor": "val/dice",
        "mode": "max",
        "mean": 0.5,
        "std": 0.25,
    }
    return PixelwiseTask(**{**arguments, **changes})


def trainer_of(*callbacks: Callback, **changes: Any) -> pl.Trainer:
    torch.set_num_threads(1)
    saving = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    arguments: dict[str, Any] = {"max_epochs": 2, "enable_checkpointing": saving, "num_sanity_val_steps": 0}
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **{**arguments, **changes},
    )


def batch_of(images: int = 3, side: int = 16) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(0)
    return {
        "image": torch.randint(0, 256, (images, 1, side, side), dtype=torch.uint8, generator=rng),
        "target": torch.randint(0, 2, (images, side, side), generator=rng),
        "weight": torch.rand(images, 1, side, side, generator=rng),
        "valid": torch.rand(images, 1, side, side, generator=rng) > 0.3,
        "id": [str(i) for i in range(images)],
        "group": [str(i) for i in range(images)],
        "index": torch.arange(images),
    }


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path) -> Iterator[None]:
    with contextlib.chdir(tmp_path):
        yield


def test_the_truth_is_cropped_to_smaller_logits_and_never_resized() -> None:
    batch = batch_of()
    logits, cropped = task_of(model=Narrow()).predict_batch({**batch, "image": batch["image"].float()})
    assert logits.shape == (3, 1, 8, 8)
    for name in ("target", "weight", "valid"):
        assert torch.equal(cropped[name], batch[name][..., 4:12, 4:12]), name


def test_the_truth_meets_the_output_of_a_network_without_padding() -> None:
    batch = batch_of(side=32)
    task = task_of(model=UNet(1, 1, width=4, depth=1, padding="valid", border="none"))
    logits, cropped = task.predict_batch(task.prepare(batch))
    assert logits.shape == (3, 1, 16, 16)
    assert torch.equal(cropped["target"], batch["target"][..., 8:24, 8:24])


def test_a_batch_without_weight_and_valid_gets_none() -> None:
    batch = {name: value for name, value in batch_of().items() if name not in ("weight", "valid")}
    task = task_of()
    assert set(task.predict_batch(task.prepare(batch))[1]) == set(batch)


def test_loss_is_called_with_cropped_logits_target_weight_and_valid() -> None:
    loss, batch = Recorded(), batch_of()
    task = task_of(model=Narrow(), loss=loss)
    loader: Any = torch.utils.data.DataLoader([batch], batch_size=None)  # type: ignore[arg-type]  # a list serves
    trainer_of().validate(task, loader, verbose=False)
    ((logits, target, weight, valid),) = loss.calls
    assert logits.shape == (3, 1, 8, 8)
    assert torch.equal(target, batch["target"][..., 4:12, 4:12])
    assert torch.equal(weight, batch["weight"][..., 4:12, 4:12])
    assert torch.equal(valid, batch["valid"][..., 4:12, 4:12])


def test_bytes_become_numbers_in_0_1_and_are_then_standardised() -> None:
    image = torch.tensor([[0, 51], [102, 255]], dtype=torch.uint8).expand(1, 3, 2, 2)
    task = task_of(mean=[0.0, 0.2, 0.5], std=[1.0, 0.5, 0.25])
    result = task.prepare({"image": image})["image"]
    unit = torch.tensor([[0.0, 0.2], [0.4, 1.0]])
    expected = torch.stack([unit, (unit - 0.2) / 0.5, (unit - 0.5) / 0.25])[None]
    torch.testing.assert_close(result, expected)
    assert result.dtype == torch.float32


def test_float_images_are_standardised_as_they_are() -> None:
    result = task_of(mean=10.0, std=2.0).prepare({"image": torch.full((1, 1, 2, 2), 300.0, dtype=torch.float64)})
    assert torch.equal(result["image"], torch.full((1, 1, 2, 2), 145.0))


def test_preparing_leaves_the_batch_itself_as_it_is() -> None:
    batch = batch_of()
    before = {name: value.clone() if isinstance(value, Tensor) else value for name, value in batch.items()}
    task_of(augmentation=Augmentation(1.0, 1.0)).prepare(batch, augment=True)
    assert set(batch) == set(before)
    assert all(torch.equal(batch[n], before[n]) for n in ("image", "target", "weight", "valid"))


@final
class Seen:
    """An augmentation that keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, int, int]] = []

    def __call__(self, batch: dict[str, Any], seed: int, epoch: int) -> dict[str, Any]:
        self.calls.append((float(batch["image"].max()), seed, epoch))
        return {**batch, "image": torch.zeros_like(batch["image"])}


def test_augmentation_comes_before_standardisation_and_knows_seed_and_epoch() -> None:
    seen = Seen()
    task = task_of(augmentation=seen, seed=7, mean=0.5, std=0.25)
    result = task.prepare({"image": torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)}, augment=True)
    assert seen.calls == [(1.0, 7, 0)]
    assert torch.equal(result["image"], torch.full((1, 1, 2, 2), -2.0))


def test_only_training_batches_are_augmented() -> None:
    seen, data = Seen(), Bright(batch_size=5)
    trainer = trainer_of(num_sanity_val_steps=1)
    trainer.fit(task_of(augmentation=seen), datamodule=data)
    assert [epoch for _, _, epoch in seen.calls] == [0, 0, 1, 1]
    trainer.validate(trainer.lightning_module, datamodule=data, verbose=False)
    assert len(seen.calls) == 4


def test_declared_names_are_the_scores_that_a_fit_logs() -> None:
    task, trainer = task_of(), trainer_of()
    names = task.logged_names()
    trainer.fit(task, datamodule=Bright(batch_size=5))
    logged = {name for name in trainer.callback_metrics if name.startswith(("train/", "val/"))}
    assert len(names) == len(set(names))
    assert set(names) == logged - {"train/loss_step"}
    assert {f"{stage}/{score}" for stage in ("train", "val") for score in ("loss", "dice", "iou")} == set(names)


def test_a_fit_logs_the_loss_and_the_learning_rate_of_each_step() -> None:
    task, trainer = task_of(), trainer_of()
    trainer.fit(task, datamodule=Bright(batch_size=5))
    assert trainer.callback_metrics["lr"] == pytest.approx(0.1)
    assert {"train/loss_step", "lr"} <= set(trainer.logged_metrics)


def test_a_test_logs_its_scores_under_test() -> None:
    data = Bright(batch_size=5)
    data.setup()
    (scores,) = trainer_of().test(task_of(), data.val_dataloader(), verbose=False)
    assert set(scores) == {"test/loss", "test/dice", "test/iou"}


def test_validation_loss_is_the_mean_over_images_whatever_the_batch_size() -> None:
    task, data = task_of(), Bright(batch_size=1)
    data.setup()
    task.eval()
    with torch.no_grad():
        batches = [task.prepare(collate([data.item(i)])) for i in data.indices("val")]
        each = [float(task.loss(task(batch["image"]), batch["target"])) for batch in batches]
    assert len(each) == 10
    for batch_size in (3, 4, 10):
        trainer = trainer_of()
        (scores,) = trainer.validate(task, datamodule=Bright(batch_size=batch_size), verbose=False)
        assert scores["val/loss"] == pytest.approx(np.mean(each), rel=1e-6)
    assert np.mean(each[:9]) != pytest.approx(np.mean(each), rel=1e-4), "the short batch must matter"


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


def masks_of(seed: int, torch_seed: int, disturb: bool = False) -> dict[tuple[int, int], Tensor]:
    callback = Masks(disturb)
    torch.manual_seed(5)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(0.5), nn.Conv2d(4, 1, 1))
    torch.manual_seed(torch_seed)
    trainer_of(callback).fit(task_of(model=network, seed=seed), datamodule=Bright(batch_size=5))
    return callback.masks


def test_dropout_is_a_function_of_seed_epoch_and_step_alone() -> None:
    masks = masks_of(seed=1, torch_seed=1)
    again = masks_of(seed=1, torch_seed=2, disturb=True)
    assert list(masks) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(torch.equal(masks[place], again[place]) for place in masks)
    places = list(masks)
    assert not any(torch.equal(masks[a], masks[b]) for i, a in enumerate(places) for b in places[:i])
    other = masks_of(seed=2, torch_seed=1)
    assert not any(torch.equal(masks[place], other[place]) for place in places)


def test_seeds_of_steps_are_different_and_fit_into_torch() -> None:
    seeds = {step_seed(*key) for key in np.ndindex(2, 5, 20, 2)}
    assert len(seeds) == 400
    assert step_seed(0, 1, 2, 3) == step_seed(0, 1, 2, 3)
    assert all(0 <= seed < 2**63 for seed in seeds)
    for seed in seeds:
        torch.manual_seed(seed)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"task\.threshold is a probability in \(0, 1\); got .* Use task\.threshold"):
        task_of(threshold=threshold)


@pytest.mark.parametrize("std", [0.0, [0.2, -0.1, 0.2], float("nan")])
def test_a_standard_deviation_that_is_not_positive_is_refused(std: float | list[float]) -> None:
    with pytest.raises(ValueError, match=r"data\.std must be positive; got .* Use data\.std=0\.25"):
        task_of(std=std)


@pytest.mark.parametrize(("interval", "halvings"), [("epoch", 3), ("step", 6)])
def test_the_scheduler_is_stepped_once_an_epoch_or_once_a_step(interval: Any, halvings: int) -> None:
    trainer = trainer_of(max_epochs=3)
    task = task_of(
        scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5),
        scheduler_interval=interval,
    )
    trainer.fit(task, datamodule=Bright(batch_size=5))
    assert trainer.global_step == 6
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**halvings)


def test_without_a_scheduler_the_learning_rate_stays() -> None:
    trainer = trainer_of()
    trainer.fit(task_of(), datamodule=Bright(batch_size=5))
    assert trainer.lr_scheduler_configs == []
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0.1


def test_the_optimiser_has_every_parameter_of_network_and_loss() -> None:
    loss = BCEDice()
    loss.temperature = nn.Parameter(torch.ones(()))
    task = task_of(loss=loss)
    optimizer = task.configure_optimizers()
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in [*task.model.parameters(), loss.temperature]}


def test_mean_and_std_are_part_of_a_checkpoint() -> None:
    state = task_of(mean=[0.1, 0.2], std=0.3).state_dict()
    torch.testing.assert_close(state["mean"].flatten(), torch.tensor([0.1, 0.2]))
    torch.testing.assert_close(state["std"].flatten(), torch.tensor([0.3]))


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


def test_the_monitored_score_decides_which_epoch_is_the_best_checkpoint() -> None:
    best = ModelCheckpoint(".", "best", monitor="val/dice", mode="max", enable_version_counter=False)
    task = task_of(model=Fading(), mean=0.0, std=1.0, optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    trainer_of(best, max_epochs=3).fit(task, datamodule=Bright(batch_size=5))
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


def test_the_loss_stays_float32_where_the_network_is_bfloat16() -> None:
    dtypes = Dtypes()
    trainer = trainer_of(dtypes, precision="bf16-mixed", max_epochs=1)
    trainer.fit(task_of(), datamodule=Bright(batch_size=5))
    assert dtypes.logits == {torch.bfloat16}
    assert dtypes.losses == {torch.float32}
    assert trainer.callback_metrics["val/loss"].dtype == torch.float32


def test_half_accumulated_scores_travel_with_a_checkpoint() -> None:
    task, other, batch = task_of(), task_of(), batch_of()
    logits = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    scores = task._scores("train")
    scores["train/loss"].update(torch.tensor(0.3), 3)
    for name in ("train/dice", "train/iou"):
        scores[name].update(logits, batch["target"], None, batch["group"])
    checkpoint: dict[str, Any] = {}
    task.on_save_checkpoint(checkpoint)
    expected = {name: score.compute() for name, score in scores.items()}
    for score in scores.values():
        score.reset()  # what was saved is a copy
    other.on_load_checkpoint(checkpoint)
    assert {name: score.compute() for name, score in other._scores("train").items()} == expected
    assert float(expected["train/loss"]) == pytest.approx(0.3)


def test_a_checkpoint_without_scores_can_be_loaded() -> None:
    task = task_of()
    task.on_load_checkpoint({})
    assert not any(score.update_called for score in task._scores("train").values())
