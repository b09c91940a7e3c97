"""What all ranks do at the same step although one alone has a reason: stop after a signal, save by the clock."""

from typing import Any, final

import pytorch_lightning as pl
import torch
import torch.distributed as dist


@final
class Agreement:
    """The largest number that any rank gives, known to all of them at the same step.

    With several ranks it is told one call late: the exchange goes on beside the step, which waits for nothing, and
    numbers stay on the CPU, so that no device is waited for either. With one rank it is told at once.
    """

    def __init__(self) -> None:
        self._group: Any = None
        self._pending: tuple[Any, torch.Tensor] | None = None

    def start(self, trainer: pl.Trainer) -> None:
        """Forget what was pending; call it in on_train_start, on every rank."""
        self._pending = None
        if trainer.world_size > 1 and self._group is None:
            # A group that works on the CPU; the ranks' own is NCCL's on GPUs.
            self._group = dist.group.WORLD if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")

    def largest(self, trainer: pl.Trainer, mine: int) -> int:
        """Give this rank's number, 0 or more, and take the largest of the call before; call it alike on every rank."""
        if trainer.world_size == 1:
            return mine
        found = self.finish()
        numbers = torch.tensor(mine)
        self._pending = dist.all_reduce(numbers, dist.ReduceOp.MAX, group=self._group, async_op=True), numbers
        return found

    def finish(self) -> int:
        """Wait for the last exchange and return its number; before the ranks part."""
        if self._pending is None:
            return 0
        work, numbers = self._pending
        self._pending = None
        work.wait()
        return int(numbers)
