from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_of_two_ranks_the_first_rolls_out_alone_and_nobody_waits(
    cli: Callable[..., Any], drift_set: Path, tmp_path: Path
) -> None:
    words = ("data=ocean_density", f"data.root={drift_set}", "data.gap_days=0", "model.width=4", "model.depth=1")
    words += ("trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.devices=2", "threads=2", "logger=[]")
    outcome = cli("train.py", *words, "model.norm=group", f"hydra.run.dir={tmp_path / 'run'}")
    assert outcome.code == 0, outcome.err
    header, *rows = (tmp_path / "run/rollout.csv").read_text().splitlines()
    assert header.startswith("epoch,step,lead_hours,")
    steps = len((tmp_path / "run/trace.csv").read_text().splitlines()) - 1
    assert [row.split(",")[:3] for row in rows] == [["0", str(steps - 1), lead] for lead in ("6", "12", "18", "24")]
