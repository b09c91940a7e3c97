"""A run that was stopped and continued is, bit for bit, the run that was never stopped."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, final

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint, ModelCheckpoint
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from segfield.callbacks.last_checkpoint import LastCheckpoint
from segfield.callbacks.metrics_csv import MetricsCsv
from segfield.callbacks.trace import Trace

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
Forked = Callable[[Callable[[], object]], tuple[int, str]]


class Killer(Callback):
    """Kills its process at its n-th hook call, or in a step."""

    def __init__(self, call: int = -1, step: int = -1) -> None:
        self.call, self.step = call, step

    def count(self, *_: Any) -> None:
        self.call -= 1
        if self.call == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.count()
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


for hook in (
    *("on_train_start", "on_train_epoch_start", "on_train_batch_start", "on_before_zero_grad"),
    *("on_before_optimizer_step", "on_validation_start", "on_validation_batch_end", "on_validation_end"),
    *("on_train_epoch_end", "on_train_end"),
):
    setattr(Killer, hook, Killer.count)


class LateKiller(Killer, Checkpoint):
    """The same after every other callback, since Lightning calls a Checkpoint last."""


@final
class Interrupt(Callback):
    """Sends SIGINT to its own process in a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@final
class Saves(Callback):
    """Keeps the step and the position of each checkpoint."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.steps.append(checkpoint["global_step"])


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every number of a nested structure by its path, tensors as bytes."""
    if isinstance(value, torch.Tensor):
        return {path: (value.dtype, tuple(value.shape), value.contiguous().numpy().tobytes())}
    if isinstance(value, dict):
        return {k: v for name, item in value.items() for k, v in flat(item, f"{path}/{name}").items()}
    if isinstance(value, list | tuple):
        return flat(dict(enumerate(value)), path)
    return {path: repr(value)}


def points(folder: Path) -> dict[tuple[str, int], list[Any]]:
    """What TensorBoard shows: the values at each (tag, step); those under time/ as None."""
    ordered = folder / "tensorboard-in-order"
    shutil.rmtree(ordered, ignore_errors=True)
    ordered.mkdir()
    # Names hold seconds and process ids, whose order is that of time only where starts are seconds apart.
    for i, file in enumerate(sorted((folder / "tensorboard").glob("*tfevents*"), key=lambda f: f.stat().st_mtime_ns)):
        shutil.copy(file, ordered / f"events.out.tfevents.{i:03d}")
    events = EventAccumulator(str(ordered), size_guidance={"scalars": 0, "images": 0}).Reload()
    found: dict[tuple[str, int], list[Any]] = {}
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            found.setdefault((tag, event.step), []).append(None if tag.startswith("time/") else event.value)
    for tag in events.Tags()["images"]:
        for event in events.Images(tag):
            found.setdefault((tag, event.step), []).append(event.encoded_image_string)
    return found


def scores(folder: Path) -> list[str]:
    """The rows of metrics.csv without the two columns of the clock."""
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    assert header.endswith(",time/images_per_second,time/step")
    return [row.rsplit(",", 2)[0] for row in rows]


def differences(one: Path, other: Path) -> list[str]:
    """What two finished runs do not have in common."""
    found = []
    ends = [flat(torch.load(folder / "final.pt", weights_only=True)) for folder in (one, other)]
    found += [f"end{name}" for name in {**ends[0], **ends[1]} if ends[0].get(name) != ends[1].get(name)]
    if (one / "trace.csv").read_bytes() != (other / "trace.csv").read_bytes():
        found.append("trace.csv")
    if scores(one) != scores(other):
        found.append("metrics.csv")
    for name in ("best", "last"):
        both = [torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True) for folder in (one, other)]
        if len({(checkpoint["epoch"], checkpoint["global_step"]) for checkpoint in both}) > 1:
            found.append(f"{name}.ckpt of another step")
        elif flat(both[0]["state_dict"]) != flat(both[1]["state_dict"]):
            found.append(f"{name}.ckpt")
    drawn = [points(folder) for folder in (one, other)]
    found += [f"point {name}" for name in {**drawn[0], **drawn[1]} if drawn[0].get(name) != drawn[1].get(name)]
    # Lightning adds the epoch each time it logs: to the scores of validation and of training.
    found += [f"point {name} twice" for name, values in drawn[1].items() if len(values) > 1 and name[0] != "epoch"]
    return found


def last_of(folder: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return checkpoint


def halved(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.StepLR:
    return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)


def one_cycle(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.OneCycleLR:
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, 9)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("stop", "every_n_steps", "code", "step", "position"),
    [
        (Killer(step=5), None, -signal.SIGKILL, 3, {"epoch": 1, "batches": 0}),
        (Killer(step=6), 2, -signal.SIGKILL, 4, {"epoch": 1, "batches": 1}),
        (Interrupt(step=5), None, 130, 5, {"epoch": 1, "batches": 2}),
    ],
    ids=["killed, from the epoch's start", "killed, from a step inside", "interrupted"],
)
def test_a_continued_run_is_the_run_that_was_never_stopped(
    fit: Fit,
    all_callbacks: Callable[..., Make],
    forked: Forked,
    tmp_path: Path,
    stop: Callback,
    every_n_steps: int | None,
    code: int,
    step: int,
    position: dict[str, int],
    workers: int,
) -> None:
    one, other, make = tmp_path / "one", tmp_path / "other", all_callbacks(every_n_steps)
    options = {"tensorboard": True, "max_epochs": 3}
    assert forked(lambda: fit(one, make, **options))[0] == 0
    found, said = forked(lambda: fit(other, lambda: [stop, *make()], workers=workers, **options))
    assert found == code, said
    assert (last_of(other)["global_step"], last_of(other)["position"]) == (step, position)
    found, said = forked(lambda: fit(other, make, workers=workers, **options))
    assert found == 0, said
    assert differences(one, other) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("every_n_steps", "options"),
    [
        (None, {}),
        (2, {"accumulate_grad_batches": 2, "val_check_interval": 1 / 3}),
        (1, {"workers": 2, "scheduler": one_cycle, "scheduler_interval": "step"}),
        (1, {"scheduler": halved, "check_val_every_n_epoch": 2}),
    ],
    ids=["epochs", "accumulation", "workers", "schedulers"],
)
def test_a_run_killed_twice_anywhere_is_the_run_that_was_never_killed(
    fit: Fit,
    all_callbacks: Callable[..., Make],
    forked: Forked,
    tmp_path: Path,
    every_n_steps: int | None,
    options: dict[str, Any],
) -> None:
    make = all_callbacks(every_n_steps)
    options = {"tensorboard": True, "max_epochs": 3, **options}

    def callbacks(call: int) -> Make:  # odd: killed before the other callbacks' turn, even: after it
        late = call % 2 == 0
        return lambda: [*make(), LateKiller(call // 2)] if late else [Killer((call + 1) // 2), *make()]

    code, said = forked(lambda: fit(tmp_path / "whole", make, **options))
    assert code == 0, said
    failures = {}
    for call in range(2, 90, 7):
        run = partial(fit, tmp_path / str(call), **options)
        code, said = forked(partial(run, callbacks(call)))
        assert code == -signal.SIGKILL, said
        forked(partial(run, callbacks(1 + 37 * call % 41)))  # again, or to the end where less than that is left
        code, said = forked(partial(run, make))
        assert code == 0, said
        failures[call] = differences(tmp_path / "whole", tmp_path / str(call))
    assert {call: found for call, found in failures.items() if found} == {}
    assert len(failures) == 13


@pytest.mark.parametrize(("every_n_steps", "steps"), [(None, [3, 6]), (2, [2, 3, 4, 6, 8]), (1, list(range(1, 9)))])
def test_a_checkpoint_is_written_at_each_epochs_start_and_every_n_steps(
    fit: Fit, tmp_path: Path, every_n_steps: int | None, steps: list[int]
) -> None:
    saves = Saves()
    fit(tmp_path, lambda: [saves, LastCheckpoint(every_n_steps=every_n_steps)], max_epochs=3)
    assert saves.steps == steps
    assert last_of(tmp_path)["global_step"] == steps[-1]


def test_a_number_of_steps_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"callbacks\.last\.every_n_steps must be at least 1, or null; got 0"):
        LastCheckpoint(every_n_steps=0)


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
    code, said = forked(lambda: fit(original, lambda: [Killer(step=5), *best_by_rate()], **options))
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
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, all_callbacks: Callable[..., Make]
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
    assert {path.name for path in (other / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    fit(other, make, tensorboard=True)
    assert differences(one, other) == []


def test_the_best_checkpoint_is_lightnings_own(fit: Fit, tmp_path: Path) -> None:
    def best() -> ModelCheckpoint:
        return ModelCheckpoint(
            "checkpoints", "best", monitor="val/loss", enable_version_counter=False, every_n_epochs=1
        )

    fit(tmp_path / "with", lambda: [best(), LastCheckpoint(every_n_steps=1)], max_epochs=1)
    fit(tmp_path / "without", lambda: [best()], max_epochs=1)
    ours, theirs = (torch.load(tmp_path / f / "checkpoints/best.ckpt", weights_only=True) for f in ("with", "without"))
    assert flat(ours["loops"]) == flat(theirs["loops"])
    assert "position" not in ours


def test_training_does_not_go_on_from_the_best_checkpoint(fit: Fit, tmp_path: Path) -> None:
    trainer = fit(tmp_path, best_by_rate, scheduler=halved)
    best = tmp_path / "checkpoints/best.ckpt"
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    trainer.validate(trainer.lightning_module, datamodule=data, ckpt_path=best, weights_only=True, verbose=False)
    shutil.copy(best, tmp_path / "checkpoints/last.ckpt")
    with pytest.raises(
        ValueError, match=r"written inside an epoch \(best\.ckpt is\).* Continue from checkpoints/last\.ckpt"
    ):
        fit(tmp_path, best_by_rate, scheduler=halved)
