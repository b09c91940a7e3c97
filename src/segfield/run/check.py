"""What can be wrong before work starts, all errors in one list."""

import shutil
from pathlib import Path
from typing import Any

from segfield.run.build import Run, build, instantiate
from segfield.run.inside import paths_outside
from segfield.run.log import quiet_lightning
from segfield.run.placement import located

# Weights, gradients' two moments (Adam), and the copy that is written beside before it takes the old one's place.
_COPIES = 3


class CheckError(ValueError):
    """The configuration cannot run; the message lists every reason found."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(f"- {error}" for error in errors))
        self.errors = errors


def check(config: dict[str, Any], folder: Path) -> None:
    """Verify a resolved config: paths, classes, arguments, data, learning rate, room on disk.

    Args:
        config: resolved, not yet frozen.
        folder: where the run would stand.

    Raises:
        CheckError: with every error found.
    """
    quiet_lightning()
    errors = paths_outside(config)
    if not errors:
        errors = _objects(config, folder)
    if errors:
        raise CheckError(errors)


def _objects(config: dict[str, Any], folder: Path) -> list[str]:
    try:
        run = build(located(config))
    except Exception as error:  # a library's own class of error, too
        return [str(error) or type(error).__name__]
    return [
        *_threads(config),
        *_monitor(run),
        *_trainer(config),
        *_optimizer(run),
        *_data(run, config["trainer"].get("accumulate_grad_batches", 1)),
        *_network(run),
        *_room(run, folder),
    ]


def _threads(config: dict[str, Any]) -> list[str]:
    if isinstance(config["threads"], int) and config["threads"] > 0:
        return []
    return [f"threads={config['threads']} must be a number of processor cores, 1 or more. Use threads=1."]


def _monitor(run: Run) -> list[str]:
    """Compare what the task and every callback monitor with the scores that the task declares."""
    names = run.task.logged_names()
    monitored = [("task", run.task.monitor)]
    monitored += [(type(callback).__name__, getattr(callback, "monitor", None)) for callback in run.callbacks]
    return [
        f"{who}.monitor={name} is no score of this task: use one of {', '.join(names)}."
        for who, name in monitored
        if name is not None and name not in names
    ]


def _trainer(config: dict[str, Any]) -> list[str]:
    """Make a Trainer without callbacks and loggers, for what Lightning says of its arguments."""
    try:
        trainer = instantiate(config["trainer"], _partial_=True)(
            logger=False, enable_checkpointing=False, enable_progress_bar=False
        )
        if not isinstance(trainer.max_epochs, int) or trainer.max_epochs < 1:
            return [f"trainer.max_epochs={trainer.max_epochs} must be a number of epochs, 1 or more."]
        if trainer.precision in ("16-true", "bf16-true"):
            return [f"trainer.precision={trainer.precision}: weights stay float32. Use trainer.precision=bf16-mixed."]
        if trainer.limit_train_batches == 0:
            return ["trainer.limit_train_batches=0 trains nothing. Use 1.0 for all batches."]
    except Exception as error:  # Lightning's exceptions have no base of their own
        return [f"trainer: {error or type(error).__name__}. See conf/trainer/default.yaml for its keys."]
    return []


def _network(run: Run) -> list[str]:
    """Find the size of the logits of one image without computing them: on torch's meta device."""
    import copy

    import torch

    height, width = run.data.size or (256, 256)
    network = copy.deepcopy(run.task.model).to("meta").eval()
    try:
        with torch.no_grad():
            logits = network(torch.empty(1, run.data.in_channels, height, width, device="meta"))
    except ValueError as error:
        return [str(error)] if run.data.size else []
    except Exception:  # a network that the meta device cannot run says nothing about its sizes
        return []
    if logits.shape[1] != run.data.out_channels:
        channels = run.data.out_channels
        return [f"The network gives {logits.shape[1]} channels, data.out_channels is {channels}: use one number."]
    return []


def _optimizer(run: Run) -> list[str]:
    try:
        run.task.configure_optimizers()
    except (ValueError, TypeError) as error:
        return [f"optimizer or scheduler: {error}. Set it, for example optimizer.lr=1e-3."]
    return []


def _data(run: Run, accumulate: int) -> list[str]:
    """List and split the data, and read one sample of each part."""
    from segfield.data.sampler import EpochBatches

    try:
        run.data.setup()
        EpochBatches(run.data.indices("train"), run.data.batch_size, accumulate=accumulate)
        for part in ("train", "val"):
            run.data.item(run.data.indices(part)[0])
    except (ValueError, TypeError, OSError) as error:
        return [str(error)]
    return []


def _room(run: Run, folder: Path) -> list[str]:
    """Compare the checkpoints' size with the free space."""
    weights = sum(value.numel() * value.element_size() for value in run.task.state_dict().values())
    needed = weights * _COPIES * 3  # best.ckpt, last.ckpt and the one being written
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        return [
            f"{existing} has {free / 1e6:.0f} MB free, the run's checkpoints need up to {needed / 1e6:.0f} MB. "
            "Make room, or choose another disk with SEGFIELD_OUTPUTS=<folder>."
        ]
    return []
