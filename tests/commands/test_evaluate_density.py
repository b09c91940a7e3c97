"""`segfield evaluate` on a real tiny run that predicts densities."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from segfield.metrics.density import DensityScores
from segfield.run.evaluate_density import NAMES, DensityEvaluation

Cli = Callable[..., Any]
SCORES = ("rmse", "kl", "mass_error", "iou_50", "iou_90", "distance_km")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def summary_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "evaluation/summary.json").read_text())
    return content


def test_the_scores_are_the_bits_that_training_reported_and_the_roll_out_too(cli: Cli, drift_run: Path) -> None:
    outcome = cli("segfield", "evaluate", drift_run, "data.part=val")
    assert outcome.code == 0, outcome.err
    assert "the bits that training reported in metrics.csv" in outcome.out
    found = summary_of(drift_run)
    epoch, part = found["checkpoint"]["epoch"], found["parts"]["val"]
    (row,) = [row for row in rows_of(drift_run / "metrics.csv") if row["epoch"] == str(epoch)]
    reported = {name: float(value) for name, value in row.items() if name.startswith("val/")}
    assert part["logged"] == reported
    assert part["training"]["bit_equal"]
    assert {name: score["value"] for name, score in part["one_map_ahead"].items()} == {
        name: reported[f"val/{name}"] for name in NAMES
    }
    rolled = rows_of(drift_run / "evaluation/rollout.csv")
    trained = [row for row in rows_of(drift_run / "rollout.csv") if row["epoch"] == str(epoch)]
    assert [row["lead_hours"] for row in rolled] == ["6", "12", "18"]
    assert [{name: row[name] for name in NAMES} for row in rolled] == [
        {name: row[name] for name in NAMES} for row in trained
    ]


def test_the_test_part_is_told_beside_its_baselines_with_intervals_over_ensembles(cli: Cli, drift_run: Path) -> None:
    outcome = cli("segfield", "evaluate", drift_run)
    assert outcome.code == 0, outcome.err
    found = summary_of(drift_run)["parts"]["test"]
    groups = rows_of(drift_run / "evaluation/per_group.csv")
    assert outcome.out.startswith(f"test: {3 * len(groups)} windows of {len(groups)} ensembles, best.ckpt of epoch ")
    lines = [line.split() for line in outcome.out.splitlines()]
    assert [line[0] for line in lines[2:8]] == list(SCORES)
    assert "network" in outcome.out.splitlines()[1]
    assert "persistence" in outcome.out.splitlines()[1]
    assert [line[0] for line in lines[9:12]] == ["+6", "+12", "+18"]
    assert found["training"] is None
    assert {row["windows"] for row in groups} == {"3"}
    for name in NAMES:
        of_groups = [float(row[name]) for row in groups]
        score = found["one_map_ahead"][name]
        assert score["value"] == pytest.approx(np.mean(of_groups), rel=1e-4, abs=1e-7)
        assert min(of_groups) - 1e-6 <= score["low"] <= score["high"] <= max(of_groups) + 1e-6
    for name in ("curves", "maps"):
        with Image.open(drift_run / f"evaluation/test_rollout_{name}.png") as picture:
            assert picture.size[0] > 200


@pytest.mark.slow
def test_parts_of_the_same_weights_stand_beside_one_another(cli: Cli, drift_run: Path) -> None:
    for part in ("test", "val"):
        assert cli("segfield", "evaluate", drift_run, f"data.part={part}").code == 0
    assert set(summary_of(drift_run)["parts"]) == {"val", "test"}
    assert [row["part"] for row in rows_of(drift_run / "evaluation/rollout.csv")] == ["val"] * 3 + ["test"] * 3
    assert {row["part"] for row in rows_of(drift_run / "evaluation/per_group.csv")} == {"val", "test"}
    pictures = sorted(path.name for path in (drift_run / "evaluation").glob("*.png"))
    assert pictures == [f"{part}_rollout_{name}.png" for part in ("test", "val") for name in ("curves", "maps")]


@pytest.mark.slow
def test_a_network_without_head_and_border_is_scored_one_map_ahead_alone(
    cli: Cli, train_drift: Callable[..., None], tmp_path: Path, make_drift_set: Callable[..., Path]
) -> None:
    root = make_drift_set(tmp_path / "set", samples=10, maps=3, size=(24, 32))
    words = ("data.gap_days=0", "data.batch_size=8", "model=unet_original", "model.border=none", "head=[]")
    train_drift(tmp_path / "run", root, *words)
    assert "no roll-out: A roll-out needs densities of a whole window" in (tmp_path / "run/log.txt").read_text()
    outcome = cli("segfield", "evaluate", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "not rolled out: A roll-out needs densities of a whole window, [24, 32]; the network gives" in outcome.out
    assert summary_of(tmp_path / "run")["parts"]["val"]["rollout"]["scores"] is None


def test_a_window_without_a_valid_cell_is_not_among_those_that_are_told() -> None:
    task = SimpleNamespace(finish=lambda logits, batch: (logits, batch), metrics={"val/": DensityScores()})
    evaluation = DensityEvaluation(cast("Any", None), "val")
    valid = torch.tensor([True, False])[:, None, None, None].expand(2, 1, 4, 4)
    names = {"id": ["0/00", "1/00"], "group": ["0", "1"]}
    evaluation.add(task, torch.rand(2, 1, 4, 4), {"target": torch.rand(2, 5, 4, 4), "valid": valid, **names})
    assert evaluation._numbers == {"0": 1}
