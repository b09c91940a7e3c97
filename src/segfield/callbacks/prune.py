"""Pruning: a job of a sweep that is worse than half of the others at the same epoch is stopped there.

Jobs are compared by their metrics.csv alone, so any launcher will do. Each judgement is kept in prune.csv before it is
acted on: a run that is killed right after it comes to the same end, whatever the others have done since.
"""

import csv
import logging
import math
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from segfield.files import append_lines, cut_rows

_log = logging.getLogger(__name__)
_METRICS = "metrics.csv"
_SWEEPS = ("sweep.yaml", "multirun.yaml")  # what a sweep's folder holds: ours, of any launcher


class Judgement(NamedTuple):
    """One row of prune.csv; without enough siblings there is no median, and nobody is pruned."""

    epoch: int
    step: int
    value: float
    median: float | None
    siblings: int
    pruned: bool


@final
class Prune(Callback):
    """Stop at an epoch's end where the monitored score is worse than the median of the siblings' at that epoch.

    Siblings are the other jobs of the sweep that have come as far; NaN is worse than any number. The last epoch is not
    judged: nothing is left to save.

    Args:
        monitor: name of the score.
        mode: "max" where larger is better.
        warmup: epochs that nobody is judged by.
        min_siblings: that must have reached the epoch.
        path: of the judgements, inside the run folder.

    Raises:
        ValueError: if a number is below 1, or metrics.csv is not written.
    """

    def __init__(
        self,
        monitor: str,
        mode: Literal["max", "min"],
        warmup: int = 3,
        min_siblings: int = 2,
        path: str = "prune.csv",
    ) -> None:
        for name, value in (("warmup", warmup), ("min_siblings", min_siblings)):
            if value < 1:
                raise ValueError(
                    f"callbacks.prune.{name} must be 1 or more; got {value}. Use callbacks.prune.{name}=1."
                )
        self.monitor, self.mode, self.warmup, self.min_siblings, self.path = monitor, mode, warmup, min_siblings, path
        self.reason: str | None = None  # why the run was stopped; it is read when the run is over
        self._judged: dict[int, Judgement] = {}
        self._is_job = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take up the judgements of earlier executions; say where there is nobody to compare with."""
        if not trainer.is_global_zero:
            return
        if not Path(_METRICS).exists():
            raise ValueError(
                f"callbacks.prune compares {_METRICS}, which this run does not write: keep callbacks.metrics_csv."
            )
        self._is_job = any((Path("..") / name).exists() for name in _SWEEPS)
        if self._is_job:
            cut_rows(self.path, Judgement._fields, sys.maxsize)  # makes it, and drops a row that a kill cut short
            self._judged = {judgement.epoch: judgement for judgement in _judgements(self.path)}
        else:
            _log.info("callbacks.prune: this run is no job of a sweep, nothing is compared and it is not pruned")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge, on one rank for all; metrics.csv has its row of this epoch already."""
        judgement = self._judge(trainer) if trainer.is_global_zero else None
        judgement = trainer.strategy.broadcast(judgement)
        if judgement is not None and judgement.pruned:
            self.reason = self._told(judgement)
            trainer.should_stop = True

    def _judge(self, trainer: pl.Trainer) -> Judgement | None:
        epoch = trainer.current_epoch
        may_stop = (trainer.min_epochs or 0) <= epoch + 1 != trainer.max_epochs
        if not self._is_job or epoch < self.warmup or not may_stop or trainer.global_step < (trainer.min_steps or 0):
            return None
        if epoch not in self._judged:
            own = _scores(Path(_METRICS), self.monitor).get(epoch)
            if own is None:  # an epoch without validation
                return None
            others = [scores[epoch] for scores in self._siblings() if epoch in scores]
            median = statistics.median(map(self._gain, others)) if len(others) >= self.min_siblings else None
            judgement = Judgement(
                epoch=epoch,
                step=trainer.global_step - 1,
                value=own,
                median=None if median is None else self._gain(median),
                siblings=len(others),
                pruned=median is not None and self._gain(own) < median,
            )
            append_lines(self.path, [",".join(map(_cell, judgement))])
            self._judged[epoch] = judgement
        return self._judged[epoch]

    def _gain(self, score: float) -> float:
        """Return a number that is larger where a score is better; its own inverse, NaN aside."""
        if math.isnan(score):
            return -math.inf
        return score if self.mode == "max" else -score

    def _siblings(self) -> Iterator[dict[int, float]]:
        own = Path.cwd().name
        for folder in Path("..").iterdir():  # of which any may go while it is looked at
            if folder.name != own:
                yield _scores(folder / _METRICS, self.monitor)

    def _told(self, judgement: Judgement) -> str:
        assert judgement.median is not None
        own = f"{self.monitor} {judgement.value:.4g} after epoch {judgement.epoch + 1}"
        return f"{own} is worse than {judgement.median:.4g}, the median of {judgement.siblings} other jobs"


def _cell(value: Any) -> str:
    return "" if value is None else str(int(value)) if isinstance(value, bool) else repr(value)


def _judgements(path: str) -> Iterator[Judgement]:
    with Path(path).open(newline="") as file:
        for row in csv.DictReader(file):
            yield Judgement(
                epoch=int(row["epoch"]),
                step=int(row["step"]),
                value=float(row["value"]),
                median=float(row["median"]) if row["median"] else None,
                siblings=int(row["siblings"]),
                pruned=row["pruned"] == "1",
            )


def _scores(path: Path, name: str) -> dict[int, float]:
    """Read one score by epoch; a row that is half written, or has no such score, is skipped."""
    try:
        if not path.is_file():
            return {}
        text = path.read_text(errors="replace")
    except OSError:  # a sibling that was taken away
        return {}
    header, *rows = text[: text.rfind("\n") + 1].splitlines() or [""]
    names, scores = header.split(","), dict[int, float]()
    if "epoch" not in names or name not in names:
        return {}
    for row in rows:
        cells = row.split(",")
        if len(cells) == len(names):
            try:
                scores[int(cells[names.index("epoch")])] = float(cells[names.index(name)])
            except ValueError:
                continue
    return scores
