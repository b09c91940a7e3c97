"""States of metrics that travel with a checkpoint. More than one process: test_ranks.py."""

from pathlib import Path

import pytest
import torch
from torchmetrics import Metric, SumMetric

from segfield.metrics import Dice, MeanLoss
from segfield.metrics.group import DiceGroup
from segfield.metrics.states import gather, take_up

GROUPS = ["a", "b", "a"]


def metrics() -> dict[str, Metric]:
    return {"loss": MeanLoss(), "dice": Dice(), "group": DiceGroup(), "sum": SumMetric()}


def add(found: dict[str, Metric], seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    logits, target = torch.randn(3, 1, 8, 8, generator=rng), torch.randint(0, 2, (3, 8, 8), generator=rng)
    for name in ("dice", "group"):
        found[name].update(logits, target, None, GROUPS)
    found["loss"].update(logits.mean(), 3)
    found["sum"].update(logits.mean())


def values(found: dict[str, Metric]) -> dict[str, float]:
    return {name: float(metric.compute()) for name, metric in found.items()}


def test_metrics_go_on_from_what_was_gathered_after_a_checkpoint(tmp_path: Path) -> None:
    whole, first, second = metrics(), metrics(), metrics()
    for seed in range(4):
        add(whole, seed)
    for seed in range(2):
        add(first, seed)
    torch.save(gather(first), tmp_path / "states.pt")
    add(first, 5)  # what was gathered is a copy
    take_up(second, torch.load(tmp_path / "states.pt", weights_only=True))
    for seed in range(2, 4):
        add(second, seed)
    assert values(second) == values(whole)


def test_what_is_taken_up_replaces_what_was_there() -> None:
    one, other = metrics(), metrics()
    add(one, 0)
    add(other, 1)
    take_up(other, gather(one))
    assert values(other) == values(one)
    add(one, 2)
    assert values(other) != values(one)


def test_one_process_takes_up_the_states_of_several() -> None:
    whole, ranks, alone = metrics(), [metrics() for _ in range(3)], metrics()
    for seed in range(6):
        add(whole, seed)
        add(ranks[seed % 3], seed)
    take_up(alone, [states for rank in ranks for states in gather(rank)])
    expected = values(whole)
    assert values(alone) == {**expected, **{name: pytest.approx(expected[name], rel=1e-6) for name in ("loss", "sum")}}


def test_a_metric_that_the_checkpoint_does_not_know_is_empty() -> None:
    one, other = metrics(), metrics()
    add(one, 0)
    (states,) = gather(one)
    add(other, 1)
    take_up(other, [{name: found for name, found in states.items() if name != "group"}])
    assert other["group"].rows == []
    assert other["dice"].compute() == one["dice"].compute()


def test_names_that_are_no_states_are_left_out() -> None:
    metric = Dice()
    take_up({"dice": metric}, [{"dice": {"compute": torch.zeros(1), "counts": torch.ones(6).long()}}])
    assert callable(metric.compute)
    assert metric.counts.tolist() == [1] * 6
