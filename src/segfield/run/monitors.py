"""What callbacks look at, and when: does the task give that score, and is it known by then?"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from torchmetrics import MetricCollection

from segfield.callbacks.plateau import Plateau
from segfield.task import PixelwiseTask


def unfit_callbacks(callbacks: Mapping[str, Any], *, has_logger: bool) -> Iterator[str]:
    """Yield what keeps callbacks, by their keys, from their work in any run."""
    for key, callback in callbacks.items():
        if isinstance(callback, LearningRateMonitor) and not has_logger:
            yield f"{key} has no logger to write to. Use logger=tensorboard, or remove it: ~{key}"
        if isinstance(callback, ModelCheckpoint) and callback.save_last:
            text = "writes the best epoch as last.ckpt, which callbacks.last writes. Use false"
            yield f"{key}.save_last {text}: {key}.save_last=false."


def unknown_scores(callbacks: Mapping[str, Any], task: PixelwiseTask, trainer: pl.Trainer | None) -> Iterator[str]:
    """Yield what the task, or a callback, by its key, monitors in vain."""
    scores = task.logged_names()
    early = [name for name in scores if name.startswith("val/")]
    if task.monitor not in scores:
        yield _unknown("task.monitor", task.monitor, scores, "is no score of this task")
    for key, callback in callbacks.items():
        name = getattr(callback, "monitor", None)
        if name is None:
            continue
        if name not in scores:
            yield _unknown(f"{key}.monitor", name, scores, "is no score of this task")
        elif name not in early and _looks_after_validation(callback, trainer):
            why = "is known at the end of an epoch, this callback looks after the validation, before it"
            yield _unknown(f"{key}.monitor", name, early, why)


def wrong_way(task: PixelwiseTask) -> Iterator[str]:
    """Yield that the task takes the worst of its monitored scores for the best, where the score says which that is."""
    stage = task.monitor.partition("/")[0]
    if task.monitor not in task.logged_names():
        return
    collection = task.metrics[f"{stage}/"]
    assert isinstance(collection, MetricCollection)
    score = dict(collection.items(copy_state=False)).get(task.monitor)  # None: the loss
    higher = getattr(score, "higher_is_better", None) if score is not None else False
    if higher is not None and task.mode != (right := "max" if higher else "min"):
        text = f"would keep the worst epoch as best.ckpt: of {task.monitor} the {right}imum is the best"
        yield f"task.mode={task.mode} {text}. Use task.mode={right}."


def _looks_after_validation(callback: Any, trainer: pl.Trainer | None) -> bool:
    """Tell whether a callback looks at its score before the epoch's training scores are there."""
    if isinstance(callback, Plateau):
        return True
    at_end: bool | None = True
    if isinstance(callback, ModelCheckpoint):
        at_end = callback._save_on_train_epoch_end
    elif isinstance(callback, EarlyStopping):
        at_end = callback._check_on_train_epoch_end
    if at_end is None and trainer is not None:
        at_end = trainer.val_check_interval == 1.0 and trainer.check_val_every_n_epoch == 1
    return at_end is False


def _unknown(key: str, name: str, names: list[str], why: str) -> str:
    return f"{key}={name} {why}: use one of {', '.join(names)}."
