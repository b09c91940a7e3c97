"""Half-accumulated states in a checkpoint: those of every rank, for as many ranks, or more, or fewer."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torchmetrics import Metric

States = dict[str, dict[str, Any]]  # by metric, by state: a tensor, or a list of tensors


def gather(metrics: Mapping[str, Metric]) -> list[States]:
    """Copy the states of metrics; all ranks must call it.

    Returns:
        One entry per rank, on the CPU.
    """
    mine = {
        name: {state: _moved(getattr(metric, state), torch.device("cpu")) for state in metric._defaults}
        for name, metric in metrics.items()
    }
    every = [mine] * _place()[1]
    if len(every) > 1:
        dist.all_gather_object(every, mine)
    return every


def take_up(metrics: Mapping[str, Metric], saved: Sequence[States]) -> None:
    """Give metrics what gather() has copied: to each rank its own; where their number is another, all to the first."""
    rank, world = _place()
    mine = [saved[rank]] if len(saved) == world else saved if rank == 0 else []
    for name, metric in metrics.items():
        metric.reset()
        for number, states in enumerate(mine):
            known = {state: value for state, value in states.get(name, {}).items() if state in metric._defaults}
            found = {state: _moved(value, metric.device) for state, value in known.items()}
            if number:
                metric.merge_state(found)
                continue
            for state, value in found.items():
                setattr(metric, state, value)
        metric._update_count = len(saved)  # else compute() warns that nothing was added yet


def _place() -> tuple[int, int]:
    """Return rank and number of processes."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [_moved(one, device) for one in value]
    return value.detach().to(device, copy=True)
