"""What one rank wants, all do at the same step."""

import types
from collections.abc import Callable
from typing import Any

import pytest
import torch.distributed as dist

from segfield.callbacks.agreement import Agreement

Ranks = Callable[..., list[Any]]


def test_one_process_knows_its_own_number_at_once() -> None:
    trainer: Any = types.SimpleNamespace(world_size=1)
    agreement = Agreement()
    agreement.start(trainer)
    assert [agreement.largest(trainer, number) for number in (0, 15, 2)] == [0, 15, 2]
    assert agreement.finish() == 0


@pytest.mark.slow
def test_ranks_know_the_largest_number_one_call_late_and_all_at_the_same(ranks: Ranks) -> None:
    def work() -> Any:
        dist.init_process_group("gloo")
        trainer: Any = types.SimpleNamespace(world_size=3)
        agreement = Agreement()
        agreement.start(trainer)
        mine = {0: (0, 0, 2, 0), 1: (0, 15, 0, 0), 2: (0, 0, 9, 0)}[dist.get_rank()]
        return [*(agreement.largest(trainer, number) for number in mine), agreement.finish()]

    assert ranks(3, work) == [[0, 0, 15, 9, 0]] * 3
