"""last.ckpt and previous.ckpt: when they are written, what is on disk before them, what a failure leaves."""

import errno
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

from segfield.callbacks.last_checkpoint import LastCheckpoint, _rebase
from segfield.callbacks.metrics_csv import MetricsCsv
from segfield.callbacks.trace import Trace
from segfield.run.checkpoint_io import WholeCheckpointIO

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
    # A guess too: the sampler starts at the checkpoint's position.
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
    # A run that goes on finds its own files.
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]

Make = Callable[[], list[Callback]]
Fit = Callable[..., pl.Trainer]
Differences = Callable[[Path, Path], list[str]]
Forked = Callable[[Callable[[], object]], tuple[int, str]]


@final
class Kill(Callback):
    """Kills its process in a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


@final
class Draw(Callback):
    """Draws a point after every validation, when Lightning has flushed its own."""

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.loggers[0].experiment.add_scalar("drawn", trainer.global_step, trainer.global_step - 1)  # type: ignore[attr-defined]


@final
class Saves(Callback):
    """Keeps the step of each checkpoint, and counts batches."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.batches = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.batches += 1

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.steps.append(checkpoint["global_step"])


def last_of(folder: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return checkpoint


def halved(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.StepLR:
    return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)


@pytest.mark.parametrize(("every_n_steps", "steps"), [(None, [3, 6]), (2, [2, 3, 4, 6, 8]), (1, list(range(1, 9)))])
def test_a_checkpoint_is_written_at_each_epochs_start_and_every_n_steps(
    fit: Fit, tmp_path: Path, every_n_steps: int | None, steps: list[int]
) -> None:
    saves = Saves()
    fit(tmp_path, lambda: [saves, LastCheckpoint(every_n_steps=every_n_steps)], max_epochs=3)
    assert saves.steps == steps
    assert last_of(tmp_path)["global_step"] == steps[-1]


@pytest.mark.parametrize(("every_n_steps", "steps"), [(None, [2, 3, 5, 6, 8]), (4, [2, 3, 4, 6, 8])])
def test_a_checkpoint_is_written_every_n_minutes_inside_an_epoch(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_n_steps: int | None, steps: list[int]
) -> None:
    saves = Saves()
    # Four minutes a step: the first step later than seven minutes after any checkpoint saves.
    monkeypatch.setattr("segfield.callbacks.last_checkpoint.monotonic", lambda: 240.0 * saves.batches)
    last = LastCheckpoint(every_n_steps=every_n_steps, every_n_minutes=7)
    fit(tmp_path, lambda: [saves, last], max_epochs=3)
    assert saves.steps == steps


def test_numbers_of_steps_and_minutes_that_are_not_positive_are_refused() -> None:
    with pytest.raises(ValueError, match=r"callbacks\.last\.every_n_steps must be at least 1, or null; got 0"):
        LastCheckpoint(every_n_steps=0)
    for minutes in (0, -1.5, float("nan")):
        with pytest.raises(ValueError, match=rf"every_n_minutes must be above 0, or null; got {minutes}\. Use 10"):
            LastCheckpoint(every_n_minutes=minutes)


def test_the_former_checkpoint_is_kept_as_previous(fit: Fit, tmp_path: Path) -> None:
    fit(tmp_path, lambda: [LastCheckpoint(every_n_steps=1)])
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"last.ckpt", "previous.ckpt"}
    previous = torch.load(tmp_path / "checkpoints/previous.ckpt", weights_only=True)
    assert [previous["global_step"], last_of(tmp_path)["global_step"]] == [4, 5]


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_every_point_of_tensorboard_before_a_checkpoint_is_in_its_file_when_the_checkpoint_becomes_visible(
    fit: Fit,
    all_callbacks: Callable[..., Make],
    differences: Differences,
    forked: Forked,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    def make() -> list[Callback]:
        return [Draw(), *all_callbacks(1, -1)()]

    one, other = tmp_path / "one", tmp_path / "other"
    options = {"tensorboard": True, "max_epochs": 3, "val_check_interval": 1 / 3}
    assert forked(lambda: fit(one, make, **options))[0] == 0
    save, write = WholeCheckpointIO.save_checkpoint, RecordWriter.write

    def save_and_die(self: WholeCheckpointIO, checkpoint: dict[str, Any], path: str, **options: Any) -> None:
        save(self, checkpoint, path, **options)
        if Path(path).name == name and checkpoint["global_step"] == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    def write_slowly(self: RecordWriter, data: bytes) -> None:
        time.sleep(0.03)  # its thread falls behind the training
        write(self, data)

    monkeypatch.setattr(WholeCheckpointIO, "save_checkpoint", save_and_die)
    monkeypatch.setattr(RecordWriter, "write", write_slowly)
    code, said = forked(lambda: fit(other, make, **options))
    assert code == -signal.SIGKILL, said
    monkeypatch.undo()
    if name == "best.ckpt":  # go on from it
        for older in ("last", "previous"):
            (other / f"checkpoints/{older}.ckpt").unlink()
    code, said = forked(lambda: fit(other, make, **options))
    assert code == 0, said
    assert differences(one, other) == []


def best_by_rate() -> list[Callback]:
    """The rate falls from epoch to epoch, so the first epoch is the best."""
    best = ModelCheckpoint(
        "checkpoints", "best", monitor="lr", mode="max", enable_version_counter=False, save_on_train_epoch_end=False
    )
    return [Trace(), MetricsCsv(), best, LastCheckpoint(every_n_steps=1)]


def test_in_a_copied_folder_the_best_stays_the_best_and_the_original_as_it_is(
    fit: Fit, forked: Forked, tmp_path: Path
) -> None:
    original, copy = tmp_path / "original", tmp_path / "elsewhere" / "copy"
    options = {"scheduler": halved, "max_epochs": 3}
    code, said = forked(lambda: fit(original, lambda: [Kill(5), *best_by_rate()], **options))
    assert code == -signal.SIGKILL, said
    shutil.copytree(original, copy)
    before = {path: path.read_bytes() for path in original.rglob("*") if path.is_file()}
    trainer = fit(copy, best_by_rate, **options)
    assert trainer.global_step == 9
    best = torch.load(copy / "checkpoints/best.ckpt", weights_only=True)
    assert (best["epoch"], best["global_step"]) == (0, 3)
    assert Path(trainer.checkpoint_callbacks[0].best_model_path) == copy / "checkpoints/best.ckpt"  # type: ignore[attr-defined]
    assert {path: path.read_bytes() for path in original.rglob("*") if path.is_file()} == before


def test_a_save_on_a_full_disk_leaves_the_former_checkpoint_from_which_the_run_goes_on(
    fit: Fit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    all_callbacks: Callable[..., Make],
    differences: Differences,
) -> None:
    one, other, make = tmp_path / "one", tmp_path / "other", all_callbacks(1)
    fit(one, make, tensorboard=True)
    save = torch.save

    def full(content: Any, file: Any) -> None:
        if content["global_step"] < 5:
            save(content, file)
            return
        file.write(b"x" * 100_000)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"No space left on device: checkpoints/last\.ckpt cannot be written\. Make room"):
        fit(other, make, tensorboard=True)
    monkeypatch.undo()
    assert last_of(other)["global_step"] == 4
    assert {path.name for path in (other / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt", "previous.ckpt"}
    fit(other, make, tensorboard=True)
    assert differences(one, other) == []


def test_where_the_best_checkpoint_is_gone_the_best_is_that_of_the_epochs_that_follow(
    fit: Fit, forked: Forked, tmp_path: Path
) -> None:
    options = {"scheduler": halved, "max_epochs": 3}
    code, said = forked(lambda: fit(tmp_path, lambda: [Kill(5), *best_by_rate()], **options))
    assert code == -signal.SIGKILL, said
    (tmp_path / "checkpoints/best.ckpt").unlink()
    fit(tmp_path, best_by_rate, **options)
    assert torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)["epoch"] == 1


@pytest.mark.parametrize("path", ["a/..", "..", "", "/"])
def test_a_path_in_a_checkpoint_that_is_no_file_name_is_dropped(path: str) -> None:
    state = {"best_model_path": path, "kth_best_model_path": path, "last_model_path": path, "best_k_models": {}}
    _rebase(state, "checkpoints")
    assert {state[name] for name in state if name.endswith("_path")} == {""}
    state["best_model_path"] = "elsewhere/best.ckpt"
    _rebase(state, "checkpoints")
    assert state["best_model_path"] == "checkpoints/best.ckpt"
