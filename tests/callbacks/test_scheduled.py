"""The signals of a scheduler whose library (submitit) waits for one to requeue the job."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from segfield.callbacks.last_checkpoint import LastCheckpoint
from segfield.callbacks.signals import SaveOnSignal
from segfield.run.interrupt import terminable

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
]

Fit = Callable[..., pl.Trainer]
Forked = Callable[[Callable[[], object]], tuple[int, str]]


@final
class Send(Callback):
    """Sends a signal to this process at the end of its fourth batch, of six."""

    def __init__(self, number: int) -> None:
        self.number, self.batches = number, 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.batches += 1
        if self.batches == 4:
            os.kill(os.getpid(), self.number)


def run(fit: Fit, folder: Path, number: int) -> None:
    """Be a job of submitit's: it ignores SIGTERM, and leaves with 144 after it has requeued the job."""

    def requeue(*_: object) -> None:
        assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
        raise SystemExit(144)

    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGUSR2, requeue)
    with terminable():
        fit(folder, lambda: [Send(number), SaveOnSignal(), LastCheckpoint()])


def test_the_schedulers_signal_saves_the_step_and_is_then_handed_on(forked: Forked, fit: Fit, tmp_path: Path) -> None:
    code, said = forked(lambda: run(fit, tmp_path, signal.SIGUSR2))
    assert code == 144, said


def test_sigterm_saves_the_step_and_the_run_goes_on_for_the_scheduler_to_decide(
    forked: Forked, fit: Fit, tmp_path: Path
) -> None:
    code, said = forked(lambda: run(fit, tmp_path, signal.SIGTERM))
    assert code == 0, said
    assert (tmp_path / "final.pt").exists()
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 4


def test_without_such_a_library_its_signals_keep_their_default(forked: Forked, fit: Fit, tmp_path: Path) -> None:
    def alone() -> None:
        with terminable():
            fit(tmp_path, lambda: [Send(signal.SIGUSR2), SaveOnSignal(), LastCheckpoint()])

    assert forked(alone)[0] == -signal.SIGUSR2
