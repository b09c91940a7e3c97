"""A tiny run with any callbacks, made as run/execute.py makes one: in its folder, on from its checkpoint."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import nn

from segfield.augment import Augmentation
from segfield.callbacks.last_checkpoint import LastCheckpoint
from segfield.callbacks.metrics_csv import MetricsCsv
from segfield.callbacks.panels import Panels
from segfield.callbacks.plateau import Plateau
from segfield.callbacks.signals import SaveOnSignal
from segfield.callbacks.tensorboard import TensorBoard
from segfield.callbacks.throughput import Throughput
from segfield.callbacks.trace import Trace
from segfield.data.blobs import Blobs
from segfield.losses import BCEDice, CEDice
from segfield.metrics import BinaryScores, Dice, IoU
from segfield.metrics.group import DiceGroup, MulticlassDiceGroup
from segfield.metrics.multiclass import MulticlassScores
from segfield.models.unet import UNet
from segfield.run.checkpoint_io import WholeCheckpointIO
from segfield.run.checkpoints import starting_point
from segfield.task import PixelwiseTask


def _fit(
    folder: Path,
    callbacks: Callable[[], list[Callback]],
    *,
    data: pl.LightningDataModule | None = None,
    network: Callable[[], nn.Module] | None = None,
    scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
    scheduler_interval: Any = "epoch",
    tensorboard: bool = False,
    workers: int = 0,
    batch_size: int = 4,
    several: Sequence[str] = (),
    **changes: Any,
) -> pl.Trainer:
    """Train on 12 images, validate on 3, flips and dropout on; final.pt then holds the end, bit for bit.

    `several` names classes, where there are more than two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(folder):
        torch.set_num_threads(1)
        pl.seed_everything(3, verbose=False)
        task = PixelwiseTask(
            model=UNet(3, 1, width=4, depth=2, dropout=0.3) if network is None else network(),
            loss=CEDice() if several else BCEDice(),
            metrics=MulticlassScores(several, {"dice_group": MulticlassDiceGroup(several)})
            if several
            else BinaryScores({"dice": Dice(), "iou": IoU(), "dice_group": DiceGroup()}),
            optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
            scheduler=scheduler,
            scheduler_interval=scheduler_interval,
            augmentation=Augmentation(0.5, 0.5),
            activation=nn.Softmax(1) if several else nn.Sigmoid(),
            monitor="val/dice",
            mode="max",
            mean=0.5,
            std=0.25,
            seed=3,
        )
        start = starting_point(task)
        trainer = _trainer(callbacks(), tensorboard, start.step if start else 0, changes)
        trainer.fit(
            task,
            datamodule=data
            or Blobs(in_channels=3, length=15, size=[32, 32], batch_size=batch_size, num_workers=workers, seed=3),
            ckpt_path=start.path if start else None,
            weights_only=True,
        )
        torch.save(_end_of(trainer), "final.pt")
    return trainer


def _trainer(callbacks: list[Callback], tensorboard: bool, step: int, changes: dict[str, Any]) -> pl.Trainer:
    loggers = []
    if tensorboard:
        # As in execute: the first step that is written again, from the second start on.
        purge = step if Path("tensorboard").exists() else None
        loggers = [TensorBoard(purge_step=purge)]
    arguments: dict[str, Any] = {
        "max_epochs": 2,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "logger": loggers or False,
        "enable_progress_bar": False,
        "enable_checkpointing": any(isinstance(item, LastCheckpoint | ModelCheckpoint) for item in callbacks),
    }
    return pl.Trainer(
        accelerator="cpu",
        callbacks=callbacks,
        plugins=[WholeCheckpointIO()],
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=".",
        **{**arguments, **changes},
    )


def _end_of(trainer: pl.Trainer) -> dict[str, Any]:
    """Collect what an undisturbed run and a continued one must have in common when they are over."""
    loop = trainer.fit_loop.epoch_loop
    states = {type(callback).__name__: callback.state_dict() for callback in trainer.callbacks}  # type: ignore[attr-defined]
    for state in states.values():  # a copied folder stands elsewhere; Lightning does not restore current_score
        for name in ("dirpath", "best_model_path", "kth_best_model_path", "best_k_models", "current_score"):
            state.pop(name, None)
    return {
        "weights": trainer.lightning_module.state_dict(),
        "optimizer": trainer.optimizers[0].state_dict(),
        "schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "callbacks": states,
        "counters": [trainer.global_step, trainer.current_epoch, loop._batches_that_stepped, loop.total_batch_idx],
    }


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every number of a nested structure by its path, tensors as bytes."""
    if isinstance(value, torch.Tensor):
        return {path: (value.dtype, tuple(value.shape), value.contiguous().numpy().tobytes())}
    if isinstance(value, dict):
        return {k: v for name, item in value.items() for k, v in flat(item, f"{path}/{name}").items()}
    if isinstance(value, list | tuple):
        return flat(dict(enumerate(value)), path)
    return {path: repr(value)}


def _points(folder: Path) -> dict[tuple[str, int], list[Any]]:
    """What TensorBoard shows: the values at each (tag, step); those under time/ as None."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()
    found: dict[tuple[str, int], list[Any]] = {}
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            found.setdefault((tag, event.step), []).append(None if tag.startswith("time/") else event.value)
    for tag in events.Tags()["images"]:
        for event in events.Images(tag):
            found.setdefault((tag, event.step), []).append(event.encoded_image_string)
    return found


def _scores(folder: Path) -> list[str]:
    """The rows of metrics.csv without the two columns of the clock."""
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    assert header.endswith(",time/images_per_second,time/step")
    return [row.rsplit(",", 2)[0] for row in rows]


def _differences(one: Path, other: Path) -> list[str]:
    found = []
    ends = [flat(torch.load(folder / "final.pt", weights_only=True)) for folder in (one, other)]
    found += [f"end{name}" for name in {**ends[0], **ends[1]} if ends[0].get(name) != ends[1].get(name)]
    if (one / "trace.csv").read_bytes() != (other / "trace.csv").read_bytes():
        found.append("trace.csv")
    if _scores(one) != _scores(other):
        found.append("metrics.csv")
    for name in ("best", "last"):
        both = [torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True) for folder in (one, other)]
        if len({(checkpoint["epoch"], checkpoint["global_step"]) for checkpoint in both}) > 1:
            found.append(f"{name}.ckpt of another step")
        elif flat(both[0]["state_dict"]) != flat(both[1]["state_dict"]):
            found.append(f"{name}.ckpt")
    drawn = [_points(folder) for folder in (one, other)]
    found += [f"point {name}" for name in {**drawn[0], **drawn[1]} if drawn[0].get(name) != drawn[1].get(name)]
    found += [f"point {name} twice" for name, values in drawn[1].items() if len(values) > 1]
    return found


@pytest.fixture
def differences() -> Callable[[Path, Path], list[str]]:
    """Name what two finished runs do not have in common: differences(one, other)."""
    return _differences


@pytest.fixture
def fit() -> Callable[..., pl.Trainer]:
    """Train in a folder: fit(folder, callbacks, **what is not the default)."""
    return _fit


@pytest.fixture
def all_callbacks() -> Callable[..., Callable[[], list[Callback]]]:
    """Make new callbacks in the order of conf/callbacks/default.yaml, with a plateau that reacts soon."""

    def make(every_n_steps: int | None = None, save_top_k: int = 1) -> Callable[[], list[Callback]]:
        return lambda: [
            Throughput(),
            Panels(samples=2),
            Trace(),
            MetricsCsv(),
            SaveOnSignal(),
            ModelCheckpoint(
                "checkpoints",
                "best",
                monitor="val/dice",
                mode="max",
                save_top_k=save_top_k,
                enable_version_counter=False,
                save_on_train_epoch_end=False,
            ),
            LastCheckpoint(every_n_steps=every_n_steps),
            Plateau("val/dice", "max", factor=0.5, patience=0, threshold=0.5),
        ]

    return make


@pytest.fixture
def forked(tmp_path: Path) -> Callable[[Callable[[], object]], tuple[int, str]]:
    """Do some work in a child process: its exit code, negative for the signal that ended it, and what it said."""

    def call(work: Callable[[], object]) -> tuple[int, str]:
        log = tmp_path / "child.txt"
        log.unlink(missing_ok=True)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                out = os.open(log, os.O_CREAT | os.O_WRONLY)
                os.dup2(out, 1)
                os.dup2(out, 2)
                sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
                work()
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, log.read_text() if log.exists() else ""

    return call
