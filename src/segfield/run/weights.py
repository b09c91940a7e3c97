"""weights.sha256: what a run ended with, in four numbers that another run is compared with."""

import hashlib
from pathlib import Path
from typing import Any

from segfield.files import write_text

NAME = "weights.sha256"


def digest(value: Any) -> str:
    """Return the sha256 of nested mappings, lists, tensors and numbers: names, types, shapes and bits."""
    found = hashlib.sha256()
    _add(found, value)
    return found.hexdigest()


def _add(found: "hashlib._Hash", value: Any) -> None:
    import torch

    if isinstance(value, torch.Tensor):
        found.update(f"{value.dtype}{tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict):
        for name in sorted(value, key=str):
            found.update(f"{name}:".encode())
            _add(found, value[name])
    elif isinstance(value, list | tuple):
        for item in value:
            found.update(b",")
            _add(found, item)
    else:
        found.update(repr(value).encode())


def write_digests(trainer: Any, best: Path) -> None:
    """Write weights.sha256 of the current folder: the network's weights, the optimiser, the scheduler, the best epoch.

    Called on every rank, as weights may be shared out over them; rank 0 writes.

    Args:
        trainer: that has come to its end.
        best: checkpoint of the best epoch, where there is one.
    """
    import torch

    from segfield.callbacks.plateau import Plateau

    plateaus = [callback.state_dict() for callback in trainer.callbacks if isinstance(callback, Plateau)]
    parts = {
        "weights": trainer.strategy.lightning_module_state_dict(),
        "optimizer": [trainer.strategy.optimizer_state(optimizer) for optimizer in trainer.optimizers],
        "scheduler": [*(config.scheduler.state_dict() for config in trainer.lr_scheduler_configs), *plateaus],
    }
    if not trainer.is_global_zero:
        return
    if best.exists():
        parts["best"] = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
    write_text(NAME, "".join(f"{digest(part)}  {name}\n" for name, part in parts.items()))


def read_digests(folder: Path) -> dict[str, str]:
    """Return {name: sha256}; empty where there is no such file."""
    path = folder / NAME
    rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return {row[1]: row[0] for row in rows if len(row) == 2}
