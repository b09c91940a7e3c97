"""A tiny run that predicts densities, with any callbacks: in its folder, on from its checkpoint."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from segfield.callbacks.last_checkpoint import LastCheckpoint
from segfield.callbacks.tensorboard import TensorBoard
from segfield.data.ocean_density import OceanDensity
from segfield.data.ocean_density.inputs import Inputs
from segfield.run.checkpoint_io import WholeCheckpointIO
from segfield.run.checkpoints import starting_point
from segfield.task import PixelwiseTask

_IGNORED = (
    # A guess about speed; the data here are read in no time.
    "ignore:.*does not have many workers",
    # On purpose: what happens on the device is the task's, see task.py.
    "ignore:You have overridden `on_after_batch_transfer`",
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    "ignore:.*isinstance\\(treespec, LeafSpec\\)",
    # A guess too: the sampler starts at the checkpoint's position.
    "ignore:You're resuming from a checkpoint that ended before the epoch",
    # A run that goes on finds its own files.
    "ignore:Checkpoint directory .* exists and is not empty",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for line in _IGNORED:
                item.add_marker(pytest.mark.filterwarnings(line))


def _fit(
    folder: Path,
    make_task: Callable[[], PixelwiseTask],
    data: pl.LightningDataModule,
    *callbacks: Callback,
    tensorboard: bool = False,
    max_epochs: int = 2,
    **others: Any,
) -> pl.Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(folder):
        torch.set_num_threads(1)
        pl.seed_everything(3, verbose=False)
        task = make_task()
        start = starting_point(task)
        how: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=max_epochs,
            callbacks=list(callbacks),
            plugins=[WholeCheckpointIO()],
            logger=[TensorBoard()] if tensorboard else False,
            log_every_n_steps=1,
            use_distributed_sampler=False,
            enable_checkpointing=any(isinstance(one, LastCheckpoint) for one in callbacks),
            default_root_dir=".",
            **how,
            **others,
        )
        trainer.fit(task, datamodule=data, ckpt_path=start.path if start else None, weights_only=True)
    return trainer


@pytest.fixture
def fit() -> Callable[..., pl.Trainer]:
    """Train in a folder: fit(folder, make_task, data, *callbacks, tensorboard=False, max_epochs=2, ...)."""
    return _fit


@pytest.fixture
def ocean(drift_set: Path) -> Callable[..., OceanDensity]:
    """Data of 15 ensembles of 4 windows, about 3 of them to validate, each time anew."""

    def make(**changes: Any) -> OceanDensity:
        inputs = Inputs(variables=["u", "v"], in_channels=3)
        how: dict[str, Any] = {"in_channels": 3, "gap_days": 0.0, "batch_size": 16, "density_scale": 32.0, **changes}
        return OceanDensity(root=str(drift_set), inputs=inputs, **how)

    return make
