"""One, two and three real processes train, validate and test the same: no sample is repeated or left out."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy

from segfield.augment import Augmentation
from segfield.callbacks.last_checkpoint import LastCheckpoint
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample
from segfield.metrics import BinaryScores, Dice, DiceSet, IoU, PixelAccuracy
from segfield.metrics.group import DiceGroup
from segfield.models.unet import UNet
from segfield.run.checkpoint_io import WholeCheckpointIO
from segfield.task import PixelwiseTask

pytestmark = [
    pytest.mark.slow,
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
    # A guess: the sampler starts at the checkpoint's position.
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
]
TaskOf = Callable[..., PixelwiseTask]
TrainerOf = Callable[..., pl.Trainer]
Ranks = Callable[[int, Callable[[], Any]], list[Any]]

WORLDS = (1, 2, 3)
SIZES = {"train": 18, "val": 11, "test": 11}  # neither 2 nor 3 divides 11
TABLE = [(f"{part}/{n:02d}", f"{part} {n % 4}", part) for part, size in SIZES.items() for n in range(size)]
COUNTED = ("dice", "dice_set", "iou", "accuracy", "dice_group")


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Patients(PixelwiseData):
    """Noise of one channel, four groups a part, which ranks share; every third mask is empty, some images are dark."""

    in_channels: int = 1
    batch_size: int = 6

    def samples(self) -> list[Sample]:
        return [Sample(id_, group, {"number": number}) for number, (id_, group, _) in enumerate(TABLE)]

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        number = sample.attributes["number"]
        image = np.random.default_rng(number).integers(0, 256, (1, 16, 16), dtype=np.uint8)
        image[:, : 4 * (number % 5)] //= 2
        return {"image": image, "target": ((image[0] > 127) & (number % 3 > 0)).astype(np.uint8)}

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        raise AssertionError("nobody asks for a picture here")


def patients() -> Patients:
    data = Patients()
    data.keep_split(sorted(TABLE))
    return data


@pytest.fixture
def task(task_of: TaskOf) -> Callable[[], PixelwiseTask]:
    """Make the task, with the same weights each time, which training leaves as they are."""

    def make() -> PixelwiseTask:
        torch.manual_seed(1)
        counted = (Dice(), DiceSet(), IoU(), PixelAccuracy(), DiceGroup())
        return task_of(
            model=UNet(1, 1, width=4, depth=2, norm="group"),
            metrics=BinaryScores(dict(zip(COUNTED, counted, strict=True))),
            optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0),
            augmentation=Augmentation(0.5, 0.5),
        )

    return make


@pytest.fixture
def trainer(trainer_of: TrainerOf) -> Callable[..., pl.Trainer]:
    """Make a trainer of so many processes: trainer(world, *callbacks, **what is not the default)."""

    def make(world: int, *callbacks: Callback, **changes: Any) -> pl.Trainer:
        strategy: Any = DDPStrategy(process_group_backend="gloo") if world > 1 else "auto"
        return trainer_of(*callbacks, devices=world, strategy=strategy, plugins=[WholeCheckpointIO()], **changes)

    return make


def same_scores(found: dict[str, float], expected: dict[str, float], stage: str) -> None:
    for name in COUNTED:
        assert found[f"{stage}/{name}"] == expected[f"{stage}/{name}"], name
    assert found[f"{stage}/loss"] == pytest.approx(expected[f"{stage}/loss"], rel=1e-6)


@pytest.mark.parametrize("stage", ["val", "test"])
def test_an_evaluation_gives_the_same_scores(
    task: Callable[[], PixelwiseTask], trainer: Callable[..., pl.Trainer], ranks: Ranks, stage: str
) -> None:
    def work(world: int) -> dict[str, float]:
        evaluate = trainer(world).validate if stage == "val" else trainer(world).test
        (scores,) = evaluate(task(), datamodule=patients(), verbose=False)
        return dict(scores)

    (alone,) = ranks(1, functools.partial(work, 1))
    assert set(alone) == {f"{stage}/{name}" for name in ("loss", *COUNTED)}
    assert len(set(alone.values())) == len(alone)
    for world in WORLDS[1:]:
        for found in ranks(world, functools.partial(work, world)):
            same_scores(found, alone, stage)


def test_an_epoch_of_training_gives_the_same_scores(
    task: Callable[[], PixelwiseTask], trainer: Callable[..., pl.Trainer], ranks: Ranks
) -> None:
    def work(world: int, slices: int) -> dict[str, float]:
        made = trainer(world, accumulate_grad_batches=slices, max_epochs=2)
        made.fit(task(), datamodule=patients())
        return {name: float(value) for name, value in made.callback_metrics.items()}

    (alone,) = ranks(1, functools.partial(work, 1, 1))
    assert len({alone[f"train/{name}"] for name in COUNTED}) == len(COUNTED)
    for world, slices in ((2, 1), (3, 1), (1, 2), (3, 2)):
        for found in ranks(world, functools.partial(work, world, slices)):
            same_scores(found, alone, "train")
            same_scores(found, alone, "val")


@final
class Stop(Callback):
    """Ends the process after some steps, when the checkpoint of the step before is written."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise KeyError("stopped")


@pytest.mark.parametrize("worlds", [(2, 1, 3), (3, 2, 1), (1, 3, 2)])
def test_an_epoch_that_other_numbers_of_processes_continue_gives_the_same_scores(
    task: Callable[[], PixelwiseTask], trainer: Callable[..., pl.Trainer], ranks: Ranks, worlds: tuple[int, ...]
) -> None:
    def work(world: int, step: int | None) -> dict[str, float]:
        path = Path("last.ckpt")
        # Saved where the step after it opens.
        callbacks = [LastCheckpoint(str(path), every_n_steps=1), *([] if step is None else [Stop(step)])]
        made = trainer(world, *callbacks, max_epochs=1)
        start = str(path) if path.exists() else None
        try:
            made.fit(task(), datamodule=patients(), ckpt_path=start, weights_only=True)
        except KeyError:
            assert step is not None
            return {}
        return {name: float(value) for name, value in made.callback_metrics.items()}

    (alone,) = ranks(1, functools.partial(work, 1, None))
    Path("last.ckpt").unlink()
    for world, step, saved in zip(worlds, (2, 3, None), (1, 2, None), strict=True):
        done = ranks(world, functools.partial(work, world, step))
        if saved:
            assert torch.load("last.ckpt", weights_only=True)["position"] == {"epoch": 0, "batches": saved}
    for found in done:
        same_scores(found, alone, "train")


def test_fewer_samples_than_processes_are_refused_by_every_one(
    task: Callable[[], PixelwiseTask], trainer: Callable[..., pl.Trainer], ranks: Ranks
) -> None:
    def work() -> str:
        data = Patients()
        data.keep_split([row for row in TABLE if row[2] == "train" or row[0] in ("val/00", "val/01")])
        with pytest.raises(ValueError, match="cannot be shared out") as caught:
            trainer(3).validate(task(), datamodule=data, verbose=False)
        return str(caught.value)

    message = "A part of 2 samples cannot be shared out over 3 devices: each needs one. Use trainer.devices=2, or more"
    assert [said[: len(message)] for said in ranks(3, work)] == [message] * 3
