"""Frozen config -> objects. The only place that instantiates, and only what whitelist.py lists."""

import difflib
import sys
from dataclasses import dataclass
from typing import Any

from segfield.run.ranks import gpus, is_rank, local_ranks, settings, world_size
from segfield.run.whitelist import allowed

# What a task is made of.
PARTS = ("data", "model", "head", "loss", "metrics", "optimizer", "scheduler", "augmentation")
# What the run passes by itself, by group.
GIVEN = {
    "task": (*PARTS[1:], "mean", "std", "seed"),
    "trainer": ("callbacks", "logger", "plugins", "enable_progress_bar"),
}


@dataclass(frozen=True)
class Run:
    """The objects of one run, before it has a trainer."""

    data: Any
    task: Any
    callbacks: list[Any]


def instantiate(node: dict[str, Any], **overrides: Any) -> Any:
    """Instantiate one group with the whitelist.

    Raises:
        ValueError: if a target is not allowed, does not exist, or refuses its arguments.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    try:
        return hydra_instantiate({**node, **overrides}, _convert_="all", _execution_whitelist_=allowed())
    except InstantiationException as error:
        cause = error.__cause__
        if cause is not None and not isinstance(cause, ImportError | AttributeError | InstantiationException):
            raise ValueError(str(cause)) from error
        target = str(node.get("_target_"))
        near = difflib.get_close_matches(target, allowed(), n=1)
        raise ValueError(
            f"{str(error).splitlines()[0]} A config names only the classes of src/segfield/run/whitelist.py"
            f"{f'; did you mean {near[0]}?' if near and near[0] != target else '.'} "
            "Allow a class of your own with SEGFIELD_ALLOW=pkg.Class."
        ) from error


def part(config: dict[str, Any], name: str) -> Any:
    """Instantiate one of PARTS; None where the config leaves it out.

    Raises:
        ValueError: if its target or arguments are refused.
    """
    return instantiate(config[name]) if config.get(name) else None


def assemble(config: dict[str, Any], parts: dict[str, Any]) -> Any:
    """Make the task of its parts.

    Args:
        config: resolved.
        parts: the object of each of PARTS.
    """
    data, others = parts["data"], {name: parts[name] for name in PARTS if name != "data"}
    return instantiate(config["task"], _partial_=True)(**others, mean=data.mean, std=data.std, seed=config["seed"])


def build(config: dict[str, Any]) -> Run:
    """Instantiate data, task (with model, head, loss, metrics, optimiser, scheduler, augmentation) and callbacks.

    The seed is set first, so the initial weights are a function of it.

    Raises:
        ValueError: if a target or its arguments are refused.
    """
    import pytorch_lightning as pl

    pl.seed_everything(config["seed"], verbose=False)
    parts = {name: part(config, name) for name in PARTS}
    callbacks = [instantiate(node) for node in (config.get("callbacks") or {}).values() if node]
    return Run(data=parts["data"], task=assemble(config, parts), callbacks=callbacks)


def build_trainer(config: dict[str, Any], callbacks: list[Any], purge_step: int | None) -> Any:
    """Make the Trainer with its loggers.

    Args:
        config: frozen.
        callbacks: of build(), and execute's own.
        purge_step: first step that is written (again); None for a new run.
    """
    import torch.utils.deterministic as deterministic_mode
    from pytorch_lightning.callbacks import ProgressBar

    from segfield.run.checkpoint_io import WholeCheckpointIO
    from segfield.run.unprofiled import Unprofiled

    if not sys.stdout.isatty():  # a bar in a file is noise; the epochs' lines are there
        callbacks = [callback for callback in callbacks if not isinstance(callback, ProgressBar)]
    loggers = []
    for node in (config.get("logger") or {}).values():
        if node:
            purge = {"purge_step": purge_step} if "purge_step" in node else {}
            loggers.append(instantiate(node, **purge))
    deterministic = config["trainer"].get("deterministic")
    if deterministic is None:
        deterministic = _deterministic(config["trainer"]["accelerator"])
    deterministic_mode.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time, changes no bit
    given: dict[str, Any] = {"deterministic": deterministic, **_processes(config)}
    if not config["trainer"].get("profiler"):
        given["profiler"] = Unprofiled()
    trainer = instantiate(config["trainer"], _partial_=True)
    bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
    plugins = [WholeCheckpointIO(), given.pop("environment")]
    return trainer(**given, callbacks=callbacks, logger=loggers or False, plugins=plugins, enable_progress_bar=bar)


def _processes(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the Trainer is told of this process and the others, named so that Lightning need not guess.

    Without an environment of ours it would find SLURM's variables, and start or await processes by itself.
    """
    from datetime import timedelta

    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy

    if not is_rank():
        alone = {"devices": 1, "num_nodes": 1, "strategy": "auto", "sync_batchnorm": False}
        return {**alone, "environment": LightningEnvironment()}
    trainer = config["trainer"]
    on_gpus, limit = gpus(trainer) > 0, timedelta(seconds=10 * settings(config).timeout)
    if trainer["strategy"] == "fsdp":
        strategy: Any = FSDPStrategy(timeout=limit)
    else:
        # From 3 ranks on the order in which gradients are added up depends on DDP's buckets, which it rebuilds after
        # its first step, also after that of a continued run. It does not where it looks for unused parameters.
        backend, keeps_buckets = None if on_gpus else "gloo", world_size(trainer) > 2
        strategy = DDPStrategy(process_group_backend=backend, timeout=limit, find_unused_parameters=keeps_buckets)
    synchronised = trainer.get("sync_batchnorm")
    return {
        "devices": local_ranks(trainer),
        "strategy": strategy,
        "sync_batchnorm": on_gpus if synchronised is None else synchronised,
        "environment": TorchElasticEnvironment(),
    }


def _deterministic(accelerator: str) -> bool | str:
    """Return True where every operation of ours has a deterministic form, "warn" where some have none (CUDA)."""
    import torch

    return True if accelerator == "cpu" or not torch.accelerator.is_available() else "warn"
