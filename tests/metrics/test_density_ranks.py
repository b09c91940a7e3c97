"""Scores of densities that real processes share out: those of one process, to the last bit."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch.distributed as dist
from torch import Tensor

from segfield.metrics.density import DensityScores
from segfield.metrics.states import gather, take_up

from .density import some_samples

pytestmark = [
    pytest.mark.slow,
    # A rank without a batch computes what the others have; torchmetrics thinks that it was forgotten.
    pytest.mark.filterwarnings("ignore:The ``compute`` method of metric .* was called before"),
]
Ranks = Callable[[int, Callable[[], Any]], list[Any]]
SHARES = [[0, 4, 5, 9], [10, 1, 2, 3, 6, 7, 8]]


def scored(shares: list[list[int]], saved: Any = None) -> tuple[Any, dict[str, Tensor]]:
    """Add this rank's samples one by one to what was saved."""
    if len(shares) > 1:
        dist.init_process_group("gloo")
    metrics = DensityScores()
    scores: Any = dict(metrics.items(copy_state=False))
    if saved is not None:
        take_up(scores, saved)
    density, target, valid, groups = some_samples()
    for index in shares[dist.get_rank() if len(shares) > 1 else 0]:
        one = slice(index, index + 1)
        metrics.update(density[one], target[one], valid[one], groups[one])
    states = gather(dict(metrics.items(copy_state=False)))
    return states, {name: score.compute() for name, score in metrics.items()}


@pytest.mark.parametrize("shares", [SHARES, [list(range(11)), []]], ids=["dealt", "one rank without a sample"])
def test_the_scores_of_two_ranks_are_bitwise_those_of_one_process(ranks: Ranks, shares: list[list[int]]) -> None:
    _, alone = scored([list(range(11))])
    assert len({float(value) for value in alone.values()}) == 18
    for _, found in ranks(2, functools.partial(scored, shares)):
        assert found == alone


@pytest.mark.parametrize("worlds", [(2, 1), (1, 2), (2, 2)])
def test_scores_that_another_number_of_ranks_continues_are_bitwise_those_of_one_process(
    ranks: Ranks, worlds: tuple[int, int]
) -> None:
    _, alone = scored([list(range(11))])
    before, after = [3, 0, 4, 5], [8, 9, 10, 1, 2, 6, 7]
    dealt = {1: lambda some: [some], 2: lambda some: [some[::2], some[1::2]]}
    ((saved, _), *_) = ranks(worlds[0], functools.partial(scored, dealt[worlds[0]](before)))
    assert len(saved) == worlds[0]
    for _, found in ranks(worlds[1], functools.partial(scored, dealt[worlds[1]](after), saved)):
        assert found == alone
