"""The second phase of check: build every object by itself, put together what can be put together, and try it out."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torchmetrics import MetricCollection

from segfield.data.module import PixelwiseData
from segfield.run.build import GIVEN, PARTS, assemble, build_trainer, instantiate, part
from segfield.run.check import standing
from segfield.run.data import keep_own_split
from segfield.run.inside import nodes
from segfield.run.log import quiet_lightning
from segfield.run.monitors import unfit_callbacks, unknown_scores, wrong_way
from segfield.run.ranks import Ranks, world_size
from segfield.run.signature import mismatches, misplaced
from segfield.run.trial import Errors, try_batches, try_data, try_devices, try_network, try_schedule, try_scores
from segfield.run.whitelist import allowed
from segfield.task import PixelwiseTask

# Weights, gradients' two moments (Adam), and the copy that is written beside before it takes the old one's place.
_COPIES = 3
_KINDS = {
    "data": PixelwiseData,
    "model": nn.Module,
    "head": nn.Module,
    "loss": nn.Module,
    "metrics": MetricCollection,
    "optimizer": torch.optim.Optimizer,
    "scheduler": torch.optim.lr_scheduler.LRScheduler,
    "task": PixelwiseTask,
    "task.activation": nn.Module,
    "trainer": pl.Trainer,
    "callbacks": pl.Callback,
    "logger": pl.loggers.Logger,
    "ranks": Ranks,
}
_PARTIAL = ("optimizer", "scheduler")  # wait for the weights


class Rehearsal:
    """Try a config out, as far as what an earlier phase refused lets it.

    Args:
        config: resolved and placed.
        folder: where the run would stand.
        wrong: keys that are refused already; the groups that they belong to are not built.
        facts: takes parameters, train, val and test [samples], bytes [of the checkpoints].
    """

    def __init__(self, config: dict[str, Any], folder: Path, wrong: set[str], facts: dict[str, Any]) -> None:
        self._config, self._folder, self._wrong, self._facts = config, folder, wrong, facts
        self._refused = {_group(key) for key in wrong}  # model, callbacks.best
        self._errors = Errors()
        self._made: dict[str, Any] = {}  # by group, or callbacks.<name>
        self._task: Any = None
        self._trainer: pl.Trainer | None = None
        self._item: dict[str, Any] | None = None
        self._world = 1  # number of ranks

    def problems(self) -> Iterator[str]:
        """Yield each error when it is found."""
        quiet_lightning()
        try:
            allowed()
        except ValueError as error:  # a class of SEGFIELD_ALLOW cannot be imported
            yield str(error)
            return
        for step in (
            self._signatures,
            self._parts,
            self._whole,
            self._monitors,
            self._processes,
            self._data,
            self._schedule,
            self._network,
            self._room,
        ):
            step()
            yield from self._errors
            self._errors.clear()

    def _signatures(self) -> None:
        for key, node in nodes(self._config):
            if (
                not isinstance(node, dict)
                or not isinstance(node.get("_target_"), str)
                or f"{key}._target_" in self._wrong
            ):
                continue
            words = key.split(".")
            kind = _KINDS.get(words[0] if len(words) == 2 and words[0] in ("callbacks", "logger") else key)
            found = list(misplaced(key, node, kind, partial=key in _PARTIAL)) or list(
                mismatches(key, node, GIVEN.get(key, ()))
            )
            found = [error for error in found if _key(error) not in self._wrong]
            self._errors += found
            self._refused |= {_group(key)} if found else set()

    def _parts(self) -> None:
        """Instantiate each part, callback and logger by itself."""
        for name in (*PARTS, "ranks"):
            if name not in self._refused and (name in PARTS or self._config.get(name)):
                self._make(name, name, lambda name=name: part(self._config, name))
        for group in ("callbacks", "logger"):
            if group not in self._refused:
                for name, node in (self._config.get(group) or {}).items():
                    if node and f"{group}.{name}" not in self._refused:
                        self._make(f"{group}.{name}", group, lambda node=node: instantiate(node))

    def _make(self, key: str, group: str, make: Any) -> None:
        with self._errors.trying(key):
            made = make()
            kind = object if group in _PARTIAL else _KINDS.get(group, object)
            if made is not None and not isinstance(made, kind):  # None: a part that the config leaves out
                raise ValueError(f"{key}._target_ makes a {type(made).__name__}, expected a {kind.__name__}.")
            self._made[key] = made

    def _of(self, group: str) -> list[Any]:
        return [made for key, made in self._made.items() if key.startswith(f"{group}.")]

    def _whole(self) -> None:
        """Make the task of its parts, and the trainer."""
        if "task" not in self._refused and all(name in self._made for name in PARTS):
            with self._errors.trying("task"):
                self._task = assemble(self._config, self._made)
                self._facts["parameters"] = sum(parameter.numel() for parameter in self._task.parameters())
        if "trainer" not in self._refused:
            loggers = {
                name: node
                for name, node in (self._config.get("logger") or {}).items()
                if f"logger.{name}" in self._made
            }
            before = len(self._errors)
            with self._errors.trying("trainer"):
                alone = {**self._config, "logger": loggers}
                self._trainer = build_trainer(alone, self._of("callbacks"), None)
            if len(self._errors) > before and re.search("accelerator|backend", self._errors[-1], re.IGNORECASE):
                self._errors[-1] += " Use trainer.accelerator=cpu."

    def _monitors(self) -> None:
        """Compare what the task and the callbacks monitor with what is known when they look."""
        callbacks = {key: made for key, made in self._made.items() if key.startswith("callbacks.")}
        has_logger = any((self._config.get("logger") or {}).values())
        self._errors += unfit_callbacks(callbacks, has_logger=has_logger)
        if self._task is not None:
            self._errors += unknown_scores(callbacks, self._task, self._trainer)
            self._errors += wrong_way(self._task)

    def _processes(self) -> None:
        """Compare the devices that the run wants with those that are here, and what it wants of them."""
        if "trainer" in self._refused:
            return
        before = len(self._errors)
        self._errors += try_devices(self._config["trainer"], self._made.get("model"))
        if len(self._errors) == before:
            self._world = world_size(self._config["trainer"])

    def _data(self) -> None:
        if data := self._made.get("data"):
            with self._errors.trying("data"):
                keep_own_split(data, self._folder)
            self._item = try_data(data, self._accumulate(), self._world, self._errors)
            self._facts |= {part: len(data.indices(part)) for part in ("train", "val", "test")}
        if self._item and self._trainer and self._slices() == 0:
            limit = self._trainer.limit_train_batches
            if self._facts["train"] >= self._made["data"].batch_size:  # else try_data has said so
                text = f"trainer.limit_train_batches={limit} is less than one batch of this data. Use 1.0."
                self._errors.append(text)
        elif self._item and self._trainer and not self._errors:
            try_batches(self._trainer, self._made["data"], self._slices(), self._world, self._errors)

    def _slices(self) -> int:
        """Return how many batches of an epoch the trainer takes, slices of the global one."""
        assert self._trainer is not None
        batches = self._facts["train"] // self._made["data"].batch_size * self._accumulate()
        limit = self._trainer.limit_train_batches
        return min(batches, limit) if isinstance(limit, int) else int(batches * limit)

    def _accumulate(self) -> int:
        return 1 if "trainer" in self._refused else int(self._config["trainer"].get("accumulate_grad_batches") or 1)

    def _schedule(self) -> None:
        if "optimizer" in self._made:
            makers = self._made["optimizer"], self._made.get("scheduler")
            try_schedule(*makers, self._scheduler_steps(), self._errors)

    def _scheduler_steps(self) -> int:
        """Return how often the run steps its scheduler, at least 1; without data or trainer as few as that."""
        if self._trainer is None or self._trainer.max_epochs is None:
            return 1
        if self._task is None or self._task.scheduler_interval == "epoch" or not self._facts.get("train"):
            return self._trainer.max_epochs
        return max(1, -(-self._slices() // self._accumulate()) * self._trainer.max_epochs)

    def _network(self) -> None:
        if self._item is None or "model" not in self._made:
            return
        data = self._made["data"]
        given = getattr(self._made.get("head"), "scale", None)
        wanted = getattr(data, "density_scale", None)
        if None not in (given, wanted) and given != wanted:
            self._errors.append(
                f"head.scale={given} is not data.density_scale={wanted}, by which the network sees the density: its "
                f"mass would be wrong. Leave head.scale out, or use head.scale={wanted}."
            )
        slices = max(1, data.batch_size // (self._accumulate() * self._world))
        logits = try_network(self._made["model"], data, self._item["image"], slices, self._errors)
        if logits is not None and self._task is not None:
            try_scores(self._task, self._item, logits, self._errors)

    def _room(self) -> None:
        """Compare the checkpoints' size with the free space."""
        if self._task is None:
            return
        weights = sum(value.numel() * value.element_size() for value in self._task.state_dict().values())
        self._facts["bytes"] = weights * _COPIES * 3  # best.ckpt, last.ckpt, previous.ckpt
        needed = weights * _COPIES * 4  # and the one being written
        existing = standing(self._folder)
        free = shutil.disk_usage(existing).free
        if free < needed:
            self._errors.append(
                f"{existing} has {free / 1e6:.0f} MB free, the run's checkpoints need up to {needed / 1e6:.0f} MB. "
                "Make room, or choose another disk with SEGFIELD_OUTPUTS=<folder>."
            )


def _group(key: str) -> str:
    """Return the key of the object that a key belongs to."""
    words = key.split(".")
    return ".".join(words[: 2 if words[0] in ("callbacks", "logger") else 1])


def _key(error: str) -> str:
    return re.split(r"[=\s]", error, maxsplit=1)[0]
