import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
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
BOTH = (signal.SIGINT, signal.SIGTERM)


@final
class Send(Callback):
    """Sends signals to this process at the end of a batch, or at the start of an epoch's validation."""

    def __init__(self, *numbers: int, batch: int = -1, validation: int = -1, group: bool = False) -> None:
        self.numbers, self.batch, self.validation, self.group = numbers, batch, validation, group
        self.sent = self.batches = 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.batches += 1
        if self.batches == self.batch:
            self.send()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.validation:
            self.send()

    def send(self) -> None:
        for number in self.numbers:
            if self.group:
                os.killpg(0, number)
                time.sleep(0.3)  # until the workers have dealt with it
            else:
                os.kill(os.getpid(), number)
            self.sent += 1


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[dict[int, Any]]:
    """Handlers that stand before a run; a signal that reaches one was not caught."""

    def unexpected(number: int, _: Any) -> None:
        raise AssertionError(f"signal {number} was not caught by the run")

    before = {number: signal.getsignal(number) for number in BOTH}
    installed: dict[int, Any] = {number: lambda n, frame: unexpected(n, frame) for number in BOTH}
    for number, handler in installed.items():
        signal.signal(number, handler)
    yield installed
    for number, previous in before.items():
        signal.signal(number, previous)


def saved(folder: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return checkpoint


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_step_and_leaves_with_128_and_its_number(
    fit: Fit, tmp_path: Path, number: int, code: int
) -> None:
    send = Send(number, batch=4)
    with pytest.raises(SystemExit) as stop:
        fit(tmp_path, lambda: [send, SaveOnSignal(), LastCheckpoint()])
    assert stop.value.code == code
    assert send.batches == 4
    assert saved(tmp_path)["global_step"] == 4
    assert saved(tmp_path)["position"] == {"epoch": 1, "batches": 1}


def test_a_signal_inside_an_accumulated_step_waits_for_its_end(fit: Fit, tmp_path: Path) -> None:
    send = Send(signal.SIGINT, batch=3)
    with pytest.raises(SystemExit):
        fit(tmp_path, lambda: [send, SaveOnSignal(), LastCheckpoint()], accumulate_grad_batches=2)
    assert send.batches == 4
    assert saved(tmp_path)["global_step"] == 2
    assert saved(tmp_path)["position"] == {"epoch": 0, "batches": 2}


def test_a_signal_in_a_validation_leaves_when_the_epoch_is_over(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        fit(tmp_path, lambda: [Send(signal.SIGTERM, validation=0), SaveOnSignal(), LastCheckpoint()])
    assert stop.value.code == 143
    assert saved(tmp_path)["global_step"] == 3
    assert saved(tmp_path)["position"] == {"epoch": 1, "batches": 0}


def test_a_signal_in_the_last_validation_lets_the_run_end(fit: Fit, tmp_path: Path) -> None:
    send = Send(signal.SIGINT, validation=1)
    trainer = fit(tmp_path, lambda: [send, SaveOnSignal(), LastCheckpoint()])
    assert send.sent == 1
    assert trainer.global_step == 6


def test_a_signal_before_the_first_step_is_over_leaves_without_a_checkpoint(fit: Fit, tmp_path: Path) -> None:
    @final
    class First(Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SystemExit) as stop:
        fit(tmp_path, lambda: [First(), SaveOnSignal(), LastCheckpoint()])
    assert stop.value.code == 130
    assert not (tmp_path / "checkpoints").exists()


def test_a_second_signal_leaves_at_once(fit: Fit, tmp_path: Path) -> None:
    send = Send(signal.SIGINT, signal.SIGTERM, batch=2)
    with pytest.raises(SystemExit) as stop:
        fit(tmp_path, lambda: [send, SaveOnSignal(), LastCheckpoint()])
    assert stop.value.code == 143
    assert send.sent == 1, "the second one ended it where it came"
    assert not (tmp_path / "checkpoints").exists()


def test_without_a_checkpoint_callback_a_signal_still_ends_the_run(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        fit(tmp_path, lambda: [Send(signal.SIGTERM, batch=1), SaveOnSignal()])
    assert stop.value.code == 143


@pytest.mark.parametrize("how", ["end", "signal", "error"])
def test_the_handlers_of_before_stand_again(fit: Fit, tmp_path: Path, own_handlers: dict[int, Any], how: str) -> None:
    @final
    class Break(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            assert all(signal.getsignal(number) is not own_handlers[number] for number in BOTH)
            if how == "error":
                raise ZeroDivisionError

    send = Send(*([signal.SIGINT] if how == "signal" else []), batch=1)
    if how == "end":
        fit(tmp_path, lambda: [Break(), send, SaveOnSignal()])
    else:
        with pytest.raises((SystemExit, ZeroDivisionError)):
            fit(tmp_path, lambda: [Break(), send, SaveOnSignal()])
    assert {number: signal.getsignal(number) for number in BOTH} == own_handlers


def test_a_run_in_another_thread_goes_without_handlers(fit: Fit, tmp_path: Path) -> None:
    thread = threading.Thread(target=fit, args=(tmp_path, lambda: [SaveOnSignal()]))
    thread.start()
    thread.join()
    assert (tmp_path / "final.pt").exists()


def test_ctrl_c_reaches_the_loaders_workers_too_and_still_saves(forked: Forked, fit: Fit, tmp_path: Path) -> None:
    def run() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()  # a terminal sends SIGINT to every process of its foreground group
        send = Send(signal.SIGINT, batch=1, group=True)
        # The step has eleven more batches to come, more than the workers have read ahead.
        options = {"workers": 2, "batch_size": 12, "accumulate_grad_batches": 12}
        fit(tmp_path, lambda: [send, SaveOnSignal(), LastCheckpoint()], **options)

    code, said = forked(run)
    assert code == 130, said
    assert saved(tmp_path)["global_step"] == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("hook", "steps"),
    [
        ("setup", 0),  # before Lightning's handlers
        ("on_fit_start", 0),  # after them, before ours
        ("on_train_start", 0),
        ("on_train_batch_start", 0),
        ("on_before_optimizer_step", 1),
        ("on_validation_start", 3),
        ("on_train_epoch_end", 3),
    ],
)
def test_a_real_signal_ends_a_run_at_any_moment_with_its_code_and_what_is_done_saved(
    forked: Forked, fit: Fit, tmp_path: Path, hook: str, steps: int, number: int, code: int
) -> None:
    at = type("At", (Callback,), {hook: lambda *_, **__: os.kill(os.getpid(), number)})

    def run() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            with terminable():
                fit(tmp_path, lambda: [at(), SaveOnSignal(), LastCheckpoint()])
        except SystemExit as stop:
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            # Lightning's end of a Ctrl-C before the first step is 1; execute says 130.
            raise SystemExit(130 if stop.code == 1 else stop.code) from None

    found, said = forked(run)
    assert found == code, said
    last = tmp_path / "checkpoints/last.ckpt"
    assert (saved(tmp_path)["global_step"] if last.exists() else 0) == steps


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_real_signal_from_outside_wakes_a_run_that_is_being_built(
    forked: Forked, tmp_path: Path, number: int, code: int
) -> None:
    def run() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        parent = os.getpid()
        if os.fork() == 0:
            while not (tmp_path / "built").exists():
                time.sleep(0.01)
            os.kill(parent, number)
            os._exit(0)
        try:
            with terminable():
                (tmp_path / "built").touch()
                time.sleep(60)
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    found, said = forked(run)
    assert found == code, said
