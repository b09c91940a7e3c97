"""Frozen config -> objects. The only place that instantiates, and only what whitelist.py lists."""

import difflib
import sys
from dataclasses import dataclass
from typing import Any

from segfield.run.whitelist import allowed


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


def build(config: dict[str, Any]) -> Run:
    """Instantiate data, task (with model, loss, metrics, optimiser, scheduler, augmentation) and callbacks.

    The seed is set first, so the initial weights are a function of it.

    Raises:
        ValueError: if a target or its arguments are refused, or more than one device is asked for.
    """
    import pytorch_lightning as pl

    devices, nodes = config["trainer"].get("devices"), config["trainer"].get("num_nodes", 1)
    if devices != 1 or nodes != 1:  # Lightning would start this script again for each device
        raise ValueError(
            f"trainer.devices={devices} trainer.num_nodes={nodes}: a run has one device so far. Use trainer.devices=1, "
            "and data.batch_size with trainer.accumulate_grad_batches for a large batch."
        )
    pl.seed_everything(config["seed"], verbose=False)
    data = instantiate(config["data"])
    parts = {
        name: instantiate(config[name]) if config.get(name) else None
        for name in ("model", "loss", "metrics", "optimizer", "scheduler", "augmentation")
    }
    task = instantiate(config["task"], _partial_=True)(**parts, mean=data.mean, std=data.std, seed=config["seed"])
    callbacks = [instantiate(node) for node in (config.get("callbacks") or {}).values() if node]
    return Run(data=data, task=task, callbacks=callbacks)


def build_trainer(config: dict[str, Any], callbacks: list[Any], purge_step: int | None) -> Any:
    """Make the Trainer with its loggers.

    Args:
        config: frozen.
        callbacks: of build(), and execute's own.
        purge_step: first step that is written (again); None for a new run.
    """
    from pytorch_lightning.callbacks import ProgressBar

    from segfield.run.checkpoint_io import WholeCheckpointIO

    if not sys.stdout.isatty():  # a bar in a file is noise; the epochs' lines are there
        callbacks = [callback for callback in callbacks if not isinstance(callback, ProgressBar)]
    loggers = []
    for node in (config.get("logger") or {}).values():
        if node:
            purge = {"purge_step": purge_step} if "purge_step" in node else {}
            loggers.append(instantiate(node, **purge))
    trainer = instantiate(config["trainer"], _partial_=True)
    bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
    return trainer(callbacks=callbacks, logger=loggers or False, plugins=[WholeCheckpointIO()], enable_progress_bar=bar)
