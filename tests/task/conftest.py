"""A task with a tiny network, a trainer for it, and data to train on."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint
from torch import nn
from torchmetrics import MetricCollection

from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample
from segfield.losses import BCEDice
from segfield.metrics import Dice, IoU
from segfield.models.unet import UNet
from segfield.task import PixelwiseTask


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Bright(PixelwiseData):
    """Noise of one channel; foreground is what is brighter than half."""

    in_channels: int = 1
    length: int = 20
    val_fraction: float = 0.5

    def samples(self) -> list[Sample]:
        return [Sample(f"{i:03d}", f"{i:03d}", {"index": i}) for i in range(self.length)]

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(sample.attributes["index"])
        image = rng.integers(0, 256, (1, 16, 16), dtype=np.uint8)
        return {"image": image, "target": (image[0] > 127).astype(np.uint8)}

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        raise AssertionError("nobody asks for a picture here")


def _task_of(**changes: Any) -> PixelwiseTask:
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


def _trainer_of(*callbacks: Callback, **changes: Any) -> pl.Trainer:
    torch.set_num_threads(1)
    saving = any(isinstance(callback, Checkpoint) for callback in callbacks)
    arguments: dict[str, Any] = {
        "max_epochs": 2,
        "enable_checkpointing": saving,
        "num_sanity_val_steps": 0,
        "logger": False,
        "enable_progress_bar": False,
    }
    return pl.Trainer(
        accelerator="cpu",
        callbacks=list(callbacks),
        enable_model_summary=False,
        use_distributed_sampler=False,
        **{**arguments, **changes},
    )


def _batch_of(images: int = 3, side: int = 16) -> dict[str, Any]:
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


@pytest.fixture
def task_of() -> Callable[..., PixelwiseTask]:
    """Make a task: task_of(**what is not the default)."""
    return _task_of


@pytest.fixture
def trainer_of() -> Callable[..., pl.Trainer]:
    """Make a trainer: trainer_of(*callbacks, **what is not the default)."""
    return _trainer_of


@pytest.fixture
def batch_of() -> Callable[..., dict[str, Any]]:
    """Make a batch: batch_of(images=3, side=16)."""
    return _batch_of


@pytest.fixture
def bright() -> type[PixelwiseData]:
    """Give the class of the data: 10 images to train on, 10 to validate."""
    return Bright


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path) -> Iterator[None]:
    with contextlib.chdir(tmp_path):
        yield
