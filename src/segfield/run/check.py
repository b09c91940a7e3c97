"""What can be wrong before work starts, all errors in one list."""

import shutil
from pathlib import Path
from typing import Any

from segfield.run.build import Run, build
from segfield.run.placement import leaves, located

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
    errors = _paths_outside(config)
    if not errors:
        errors = _objects(config, folder)
    if errors:
        raise CheckError(errors)


def _paths_outside(config: dict[str, Any]) -> list[str]:
    """Find paths that lead out of the run folder; only data may lie elsewhere."""
    errors = []
    for key, value in leaves({name: node for name, node in config.items() if name != "data"}):
        if not isinstance(value, str) or key.endswith("_target_"):
            continue
        path = Path(value)
        if path.is_absolute() or value.startswith("~") or ".." in path.parts:
            errors.append(
                f"{key}={value} leads out of the run folder: a run writes inside its own folder only. "
                "Use a relative path without '..', or choose the folder with hydra.run.dir=<folder>."
            )
    return errors


def _objects(config: dict[str, Any], folder: Path) -> list[str]:
    try:
        run = build(located(config))
    except (ValueError, TypeError) as error:
        return [str(error)]
    return [*_optimizer(run), *_data(run), *_room(run, folder)]


def _optimizer(run: Run) -> list[str]:
    try:
        run.task.configure_optimizers()
    except (ValueError, TypeError) as error:
        return [f"optimizer or scheduler: {error}. Set it, for example optimizer.lr=1e-3."]
    return []


def _data(run: Run) -> list[str]:
    """List and split the data, and read one sample of each part."""
    from segfield.data.sampler import EpochBatches

    try:
        run.data.setup()
        EpochBatches(run.data.indices("train"), run.data.batch_size)
        for part in ("train", "val"):
            run.data.item(run.data.indices(part)[0])
    except (ValueError, OSError) as error:
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
