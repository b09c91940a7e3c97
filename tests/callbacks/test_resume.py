"""A run that was stopped and continued is, bit for bit, the run that was never stopped."""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, final

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint

from segfield.callbacks.last_checkpoint import LastCheckpoint

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
class Says(Callback):
    """Prints where training begins."""

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        sys.stdout.write(f"from step {trainer.global_step}")


@final
class Interrupt(Callback):
    """Sends SIGINT to its own process in a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


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
    differences: Differences,
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
    differences: Differences,
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


@pytest.mark.parametrize(
    ("options", "step", "position"),
    [
        ({"scheduler": halved, "workers": 2}, 6, {"epoch": 2, "batches": 0}),
        ({"scheduler": one_cycle, "scheduler_interval": "step", "max_epochs": 3}, 6, {"epoch": 2, "batches": 0}),
        ({"accumulate_grad_batches": 2, "val_check_interval": 1 / 3}, 7, {"epoch": 2, "batches": 1}),
        ({"val_check_interval": 0.67, "check_val_every_n_epoch": 2}, 5, {"epoch": 1, "batches": 2}),
    ],
    ids=["epochs", "steps", "accumulation", "inside every second epoch"],
)
def test_a_run_that_goes_back_to_its_best_checkpoint_is_the_run_that_was_never_stopped(
    fit: Fit,
    all_callbacks: Callable[..., Make],
    differences: Differences,
    forked: Forked,
    tmp_path: Path,
    options: dict[str, Any],
    step: int,
    position: dict[str, int],
) -> None:
    one, other, make = tmp_path / "one", tmp_path / "other", all_callbacks(save_top_k=-1)  # each validation is saved
    options = {"tensorboard": True, "max_epochs": 4, **options}
    assert forked(lambda: fit(one, make, **options))[0] == 0
    code, said = forked(lambda: fit(other, lambda: [Killer(step=8), *make()], **options))
    assert code == -signal.SIGKILL, said
    for name in ("last", "previous"):
        (other / f"checkpoints/{name}.ckpt").unlink()
    best = torch.load(other / "checkpoints/best.ckpt", weights_only=True)
    assert (best["global_step"], best["position"]) == (step, position)
    code, said = forked(lambda: fit(other, lambda: [Says(), *make()], **options))
    assert code == 0, said
    assert f"from step {step}" in said
    assert differences(one, other) == []


def test_training_does_not_go_on_from_a_best_checkpoint_that_cuts_a_step_in_two(
    fit: Fit, all_callbacks: Callable[..., Make], differences: Differences, forked: Forked, tmp_path: Path
) -> None:
    one, other, make = tmp_path / "one", tmp_path / "other", all_callbacks()
    options = {"tensorboard": True, "accumulate_grad_batches": 2, "val_check_interval": 0.5}
    assert forked(lambda: fit(one, make, **options))[0] == 0
    code, said = forked(lambda: fit(other, lambda: [Killer(step=2), *make()], **options))
    assert code == -signal.SIGKILL, said
    best = torch.load(other / "checkpoints/best.ckpt", weights_only=True)
    assert (best["global_step"], best.get("position")) == (1, None)
    trainer = fit(other, make, **options)  # from step 0
    assert differences(one, other) == []
    with pytest.raises(ValueError, match=r"written inside a step: .* Continue from checkpoints/last\.ckpt"):
        LastCheckpoint().on_load_checkpoint(trainer, trainer.lightning_module, best)
