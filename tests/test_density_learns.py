"""A network that sees a cloud drift by the same way at each step learns it."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
WORDS = (
    *("data=ocean_density", "threads=1", "model.width=8", "model.depth=1", "model.norm=group", "data.gap_days=0.5"),
    *("trainer.max_epochs=6", "optimizer.lr=1e-2", "data.batch_size=8", "logger=[]"),
    *("~callbacks.panels", "~callbacks.rollout"),
)


@pytest.mark.slow
def test_a_learnt_density_covers_more_of_the_search_than_the_present_one(
    cli: Cli, make_drift_set: Callable[..., Path], only_run: Callable[[], Path], tmp_path: Path
) -> None:
    root = make_drift_set(tmp_path / "set", samples=40, particles=2000, fields=("u", "v"))
    done = cli("train.py", *WORDS, "head=conserving", f"data.root={root}")
    assert done.code == 0, done.err
    with (only_run() / "metrics.csv").open(newline="") as file:
        last = {name: float(value) for name, value in list(csv.DictReader(file))[-1].items()}
    assert last["val/iou_50"] > 2 * last["val/iou_50_persistence"]
    assert last["val/iou_90"] > 1.2 * last["val/iou_90_persistence"]
    for name in ("rmse", "kl", "distance_km"):
        assert last[f"val/{name}"] < last[f"val/{name}_persistence"] / 1.5
    assert last["val/mass_error"] == pytest.approx(last["val/mass_error_persistence"], abs=1e-6)
