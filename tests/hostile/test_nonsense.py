"""A frozen config that somebody edited into nonsense: a list of what is wrong, and never a traceback."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from segfield.run.check import problems

STEP = {"_target_": "torch.optim.lr_scheduler.StepLR", "_partial_": True}
STOP = {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "monitor": "zzz"}
RELU = {"_target_": "torch.nn.ReLU"}
EDITS: list[tuple[str, Any, str]] = [
    ("trainer.foo", 1, "trainer.foo is no argument"),
    ("trainer.max_epochs", "ten", "trainer.max_epochs=ten must be"),
    ("trainer.max_epochs", None, "trainer.max_epochs=null must be"),
    ("trainer.limit_train_batches", 5.5, "trainer: .*5.5 for limit_train_batches"),
    ("trainer.gradient_clip_val", "a", "trainer.gradient_clip_val=a must be"),
    ("trainer.check_val_every_n_epoch", "x", "trainer.check_val_every_n_epoch=x must be"),
    ("trainer.log_every_n_steps", "a", "trainer.log_every_n_steps=a must be"),
    ("trainer.log_every_n_steps", -1, "trainer.log_every_n_steps=-1 must be"),
    ("trainer.accumulate_grad_batches", "x", "trainer.accumulate_grad_batches=x must be"),
    ("trainer.deterministic", "x", "trainer.deterministic=x must be"),
    ("trainer", RELU, "trainer._target_=torch.nn.ReLU is no Trainer."),
    ("trainer._target_", "torch.nn.ReLU", "trainer._target_=torch.nn.ReLU is no Trainer."),
    ("trainer._partial_", True, "trainer._partial_=true: no part is missing here. Remove it."),
    ("model.width", "a", "model.width=a must be"),
    ("model.foo", 1, "model.foo is no argument"),
    ("model", RELU, "The network gives .*3, 32, 32"),
    ("model._partial_", True, "model._partial_=true: no part"),
    ("model._partial_", "x", "model._partial_=x: no part"),
    ("loss", RELU, "loss, with"),
    ("loss._target_", "torch.nn.MSELoss", "loss.bce_weight is no argument"),
    ("metrics", RELU, "metrics._target_=torch.nn.ReLU is no MetricCollection."),
    ("data", RELU, "data._target_=torch.nn.ReLU is no PixelwiseData."),
    ("data._target_", "segfield.data.folder.Folder", "data.length is no argument"),
    ("data.batch_size", "a", "data.batch_size=a must be"),
    ("data.split_seed", "a", "data.split_seed=a must be"),
    ("data.num_workers", "a", "data.num_workers=a must be"),
    ("optimizer.lr", "abc", "optimizer.lr=abc must be"),
    ("optimizer.foo", 1, "optimizer.foo is no argument"),
    ("optimizer._partial_", False, "optimizer._partial_=false: .* Use optimizer._partial_=true."),
    ("optimizer", {**RELU, "_partial_": True}, "optimizer._target_=torch.nn.ReLU is no Optimizer."),
    ("scheduler", STEP, "scheduler: .*'step_size'"),
    ("scheduler", {**STEP, "step_size": 3, "_partial_": False}, "scheduler._partial_=false"),
    ("scheduler", {**RELU, "_partial_": True}, "scheduler._target_=torch.nn.ReLU is no LRScheduler."),
    ("augmentation", RELU, "augmentation: "),
    ("task", RELU, "task._target_=torch.nn.ReLU is no PixelwiseTask."),
    ("task.activation", 3, "task.activation=3 must be Module"),
    ("task.activation", {"_target_": "torch.optim.AdamW", "_partial_": True}, "task.activation._target_=.* no Module."),
    ("task.activation._target_", [], "task.activation._target_=.* is not allowed"),
    ("callbacks.trace._target_", {"a": 1}, "callbacks.trace._target_=.* is not allowed"),
    ("task.monitor", "val/foo", "task.monitor=val/foo is no score"),
    ("task.scheduler_interval", "foo", "task.scheduler_interval=foo must be one of epoch, step"),
    ("callbacks.x", RELU, "callbacks.x._target_=torch.nn.ReLU is no Callback."),
    ("callbacks.x", STOP, "callbacks.x.monitor=zzz is no score"),
    ("callbacks.trace.block", "a", "callbacks.trace.block=a must be"),
    ("logger.tensorboard.path", 3, "logger.tensorboard.path=3 must be a word"),
    ("seed", "a", "seed=a must be"),
    ("modle", {}, "modle is no part of a run"),
]


def edit(config: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        config = config[parent]
    config[last] = value


@pytest.mark.parametrize(("key", "value", "message"), EDITS)
def test_an_edit_into_nonsense_is_named(
    config: dict[str, Any], folder: Path, key: str, value: Any, message: str
) -> None:
    edit(config, key, value)
    errors = list(problems(config, folder))
    assert [error for error in errors if re.match(message, error)], errors


def test_the_config_that_nobody_edited_has_no_problem(config: dict[str, Any], folder: Path) -> None:
    assert list(problems(config, folder)) == []


def test_a_gpu_that_is_not_there_is_named(config: dict[str, Any], folder: Path) -> None:
    if torch.accelerator.is_available():
        pytest.skip("there is one")
    edit(config, "trainer.accelerator", "gpu")
    assert list(problems(config, folder)) == ["trainer: No supported gpu backend found! Use trainer.accelerator=cpu."]


def test_many_edits_make_one_list(config: dict[str, Any], folder: Path) -> None:
    words = ("trainer.foo", "model.width", "optimizer._partial_", "data.split_seed", "callbacks.trace.block")
    for key in words:
        edit(config, key, "a")
    errors = list(problems(config, folder))
    assert {re.split(r"[= ]", error, maxsplit=1)[0] for error in errors} == set(words)
