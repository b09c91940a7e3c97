from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_of_two_ranks_the_first_rolls_out_alone_and_nobody_waits(
    cli: Callable[..., Any], drift_set: Path, tmp_path: Path
) -> None:
    words = ("data=ocean_density", f"data.root={drift_set}", "data.gap_days=0", "model.width=4", "model.depth=1")
    words += ("trainer.max_epochs=2", "trainer.accelerator=cpu", "callbacks.rollout.every_n_epochs=1", "threads=2")
    tables = []
    for devices in (1, 2):
        run = tmp_path / str(devices)
        outcome = cli("train.py", *words, "model.norm=group", f"trainer.devices={devices}", f"hydra.run.dir={run}")
        assert outcome.code == 0, outcome.err
        rows = [row.split(",") for row in (run / "rollout.csv").read_text().splitlines()]
        assert rows[0][:3] == ["epoch", "step", "lead_hours"]
        tables.append(rows)
    one, two = tables
    assert len(one) == 1 + 2 * 4
    assert [row[:3] for row in one] == [row[:3] for row in two]
    # Ranks add gradients up in another order.
    for left, right in zip(one[1:], two[1:], strict=True):
        assert [float(cell) for cell in left] == pytest.approx([float(cell) for cell in right], rel=0.05, abs=0.05)
