"""A rank that hangs is found and named: the others only wait for it, in a collective that says nothing of why."""

import json
import logging
import os
import signal
import threading
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from segfield.run.rank import log_of, number, report, world
from segfield.run.ranks import HUNG, LAUNCHER

_log = logging.getLogger(__name__)
_END = 2**31  # of a validation, of which each rank has its own number of batches
_PLACES = ("before the first step", "in the forward pass", "in the backward pass", "after the step")
_TRAINING, _VALIDATING, _ENDING = _STAGES = range(3)


class Place(NamedTuple):
    """How far a rank is; the one that hangs is behind all others."""

    laps: int  # validations, those inside epochs too, and epochs that are over
    stage: int  # of _STAGES
    batch: int
    part: int  # of a training batch, of _PLACES


@final
class Watch(Callback):
    """Tell every rank how far the others are, and end a run in which none of them moves any more.

    Watched is the training, validation included; what comes before it may take as long as it takes.

    Args:
        store: that all ranks see.
        timeout: [s] without a sign of any rank.
    """

    def __init__(self, store: Any, timeout: float) -> None:
        self._store, self._timeout = store.clone(), timeout  # a connection of its own: calls of one store take turns
        self._place, self._moved = Place(0, 0, 0, 0), monotonic()
        self._told: Place | None = None
        self._seen: dict[int, tuple[Place, float]] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to watch."""
        self._move(Place(0, 0, 0, 0))
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End it."""
        self._end()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """End it here too."""
        self._end()

    def _end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note that the batch is there."""
        self._move(Place(self._place.laps, _TRAINING, self._place.batch + 1, 1))

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Any) -> None:
        """Note that the loss is there: gradients meet from here on."""
        self._move(self._place._replace(part=2))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note that the step is over."""
        self._move(self._place._replace(part=3))

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Note the batch."""
        self._move(Place(self._place.laps, _VALIDATING, batch_idx, 0))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that this rank's batches are over: scores meet next."""
        self._move(Place(self._place.laps, _VALIDATING, _END, 0))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that scores have met; batches are counted anew."""
        self._move(Place(self._place.laps + 1, _TRAINING, 0, 0))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that callbacks have their turn."""
        self._move(Place(self._place.laps, _ENDING, 0, 0))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that the next epoch begins."""
        self._move(Place(self._place.laps + 1, _TRAINING, 0, 0))

    def _move(self, place: Place) -> None:
        self._place, self._moved = place, monotonic()

    def _watch(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))  # they are to wake the main thread
        while not self._stop.wait(min(1.0, self._timeout / 10)):
            try:
                behind = self._behind()
            except RuntimeError:  # the store is gone, and so is the launcher
                return
            if behind:
                self._tell(behind)

    def _behind(self) -> dict[int, Place]:
        """Tell the others where this rank is; return the ranks that are behind where nobody has moved for too long."""
        if self._place != self._told:
            self._told = self._place
            self._store.set(f"segfield/place/{number()}", json.dumps(self._told))
        quiet = monotonic() - self._moved
        if quiet < self._timeout / 2:
            self._seen = {}
            return {}
        for rank in range(world()):
            key = f"segfield/place/{rank}"
            place = Place(*json.loads(self._store.get(key))) if self._store.check([key]) else Place(0, 0, 0, 0)
            if rank not in self._seen or self._seen[rank][0] != place:
                self._seen[rank] = place, monotonic()
        last = min(place for place, _ in self._seen.values())
        behind = {rank: place for rank, (place, _) in self._seen.items() if place == last}
        stuck = all(monotonic() - self._seen[rank][1] >= self._timeout / 2.5 for rank in behind)
        return behind if quiet >= self._timeout and stuck else {}

    def _tell(self, behind: dict[int, Place]) -> None:
        place = next(iter(behind.values()))
        names = ", ".join(str(rank) for rank in behind)
        if place.stage == _ENDING:
            where = "at the end of an epoch"
        elif place.stage == _VALIDATING:
            where = "in a validation" if place.batch < _END else "at the end of a validation"
        else:
            where = f"in training, {_PLACES[place.part]}"
        ranks = f"rank {names} hangs" if len(behind) < world() else f"all ranks ({names}) hang"
        text = (
            f"{ranks}: no sign for {self._timeout:.0f} s, last seen {where}. "
            f"See {log_of(next(iter(behind)))}. Where that much time is needed, use ranks.timeout=<seconds>."
        )
        _log.log(logging.DEBUG if LAUNCHER in os.environ else logging.CRITICAL, text)  # the launcher tells it
        if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
            report(Path(path), text)
        logging.shutdown()
        os._exit(HUNG)
