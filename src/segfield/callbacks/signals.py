"""Ctrl-C and SIGTERM: save first, then leave with exit code 128 + signal (130, 143).

Lightning's own handling exits with code 0 and saves nothing on SIGTERM. Where several ranks train, all of them leave at
the same step, whichever got the signal. Where a scheduler's library waits for a signal of its own (submitit), that one
saves and leaves too, and SIGTERM saves only: what leaves by itself would not be requeued.
"""

import logging
import signal
import threading
from types import FrameType
from typing import Any, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from segfield.callbacks.agreement import Agreement
from segfield.callbacks.last_checkpoint import LastCheckpoint
from segfield.processes import scheduled

_log = logging.getLogger(__name__)


@final
class SaveOnSignal(Callback):
    """Stop at the next step after SIGINT or SIGTERM with last.ckpt written; a second signal stops at once."""

    def __init__(self) -> None:
        self._received = 0
        self._to_save = False
        self._scheduled: list[signal.Signals] = []
        self._trainer: pl.Trainer | None = None
        self._agreement = Agreement()
        self._before: dict[int, Any] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Note the handlers of before: a little later Lightning puts its own in the place of SIGTERM's."""
        if stage == "fit" and threading.current_thread() is threading.main_thread():  # Python allows no other
            self._scheduled = scheduled()
            numbers = (signal.SIGINT, signal.SIGTERM, *self._scheduled)
            self._before = {number: signal.getsignal(number) for number in numbers}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the handlers, after Lightning's own."""
        self._trainer = trainer
        self._agreement.start(trainer)
        for number in self._before:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM and self._scheduled:
            _log.info("SIGTERM: saving after this step; the scheduler decides what comes then")
            self._to_save = True
            return
        if self._received:
            raise SystemExit(128 + number)
        self._received = number
        if self._trainer is not None and self._trainer.world_size > 1:
            return  # told when all ranks agree: the agent ends ranks by a signal too, after another one's death
        after = "the validation" if self._trainer is not None and self._trainer.validating else "this step"
        text = "%s: saving after %s; once more stops at once, back to the last checkpoint"
        _log.info(text, signal.Signals(number).name, after)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save and leave, where a step opens."""
        if batch_idx % trainer.accumulate_grad_batches:
            return
        received = self._agreement.largest(trainer, self._received)
        if not received and not self._to_save:
            return
        self._to_save = False
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, LastCheckpoint):
                callback.save(trainer)
        if received and trainer.world_size > 1:
            _log.info("%s: saved at step %d", signal.Signals(received).name, trainer.global_step)
        if received:
            raise SystemExit(128 + received)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Part from the other ranks: a signal that comes now finds nothing left to save."""
        self._agreement.finish()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the handlers back that stood before."""
        self._restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Give them back here too: after an error there is no teardown."""
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not Python's
