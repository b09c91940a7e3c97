"""Scores by hand; the job folders hold a status and nothing else."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from segfield.run import results
from segfield.run.job import Job, Row, varied


def row_of(folder: Path, number: int, overrides: list[str], state: str, best: float | None, **more: Any) -> Row:
    values = {"digest": str(number), "monitor": "val/dice", "mode": "max", "epochs": 4}
    job = Job(number, overrides, **{**values, **{key: more.pop(key) for key in list(more) if key in values}})
    (folder / str(number)).mkdir()
    content = {"state": state, "best": {} if best is None else {job.monitor: best}, **more}
    (folder / f"{number}/status.json").write_text(json.dumps(content))
    row = Row(job, folder, {})
    row.look()
    return row


def swept(rows: list[Row]) -> list[Row]:
    changed = varied([row.job for row in rows])
    for row in rows:
        row.changed = changed[row.job.number]
    return rows


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Two learning rates, three folds; one fold of the second failed, one was pruned."""
    scores = {0.1: [0.8, 0.9, 0.7], 0.01: [0.95, 0.2, None]}
    states = {0.1: ["finished"] * 3, 0.01: ["finished", "pruned", "failed"]}
    made = []
    for lr in scores:
        for fold in range(3):
            words = ["data.folds=3", f"optimizer.lr={lr}", f"data.fold={fold}"]
            given = (len(made), words, states[lr][fold], scores[lr][fold])
            made.append(row_of(tmp_path, *given, epoch=3, seconds=12.5, peak_memory_mb=800, reason="it broke\nhere"))
    return swept(made)


def test_a_job_has_a_row_with_its_varied_overrides_and_how_it_ended(rows: list[Row], tmp_path: Path) -> None:
    results.write(rows, tmp_path)
    first, *_, last = table(tmp_path / "sweep.csv")
    expected = "job folder state optimizer.lr data.fold metric best epoch seconds peak_memory_mb reason"
    assert list(first) == expected.split()
    assert first["best"] == "0.8"
    assert last == {
        **{"job": "5", "folder": "5", "state": "failed", "optimizer.lr": "0.01", "data.fold": "2"},
        **{"metric": "val/dice", "best": "", "epoch": "3", "seconds": "12.5", "peak_memory_mb": "800"},
        "reason": "it broke here",
    }


def test_mean_and_sample_deviation_over_the_folds_are_those_done_by_hand(rows: list[Row], tmp_path: Path) -> None:
    """(0.8 + 0.9 + 0.7) / 3 = 0.8; sqrt((0 + 0.01 + 0.01) / 2) = 0.1. A pruned fold has no score of a full run."""
    results.write(rows, tmp_path)
    assert table(tmp_path / "folds.csv") == [
        {"optimizer.lr": "0.1", "metric": "val/dice", "mean": "0.8", "std": "0.1", "n": "3"},
        {"optimizer.lr": "0.01", "metric": "val/dice", "mean": "0.95", "std": "", "n": "1"},
    ]
    lines = list(results.told(rows, tmp_path))
    assert "optimizer.lr=0.1: val/dice 0.8 +- 0.1 over 3 folds" in lines
    assert "optimizer.lr=0.01: val/dice 0.95 over 1 fold" in lines


def test_the_best_job_is_told_by_the_tasks_mode(rows: list[Row], tmp_path: Path) -> None:
    assert list(results.told(rows, tmp_path))[-1] == (
        f"best: job 3, val/dice=0.95 (optimizer.lr=0.01 data.fold=0), {tmp_path / '3'}"
    )
    (tmp_path / "loss").mkdir()
    losses = [0.5, 0.3, math.nan]
    made = [
        row_of(tmp_path / "loss", number, [f"seed={number}"], "finished", loss, monitor="val/loss", mode="min")
        for number, loss in enumerate(losses)
    ]
    found = results.best(swept(made))
    assert found is not None
    assert found.job.number == 1
    lines = list(results.told(made, tmp_path))
    assert "finished without a score: job 2; val/loss was not logged, or is no number" in lines


def test_a_sweep_without_scores_has_no_best_job_and_no_folds(tmp_path: Path) -> None:
    made = swept([row_of(tmp_path, 0, [], "planned", None)])
    results.write(made, tmp_path)
    assert not (tmp_path / "folds.csv").exists()
    assert list(results.told(made, tmp_path)) == [f"1 job: 1 planned; {tmp_path / 'sweep.csv'}"]


def test_folds_alone_are_one_line(tmp_path: Path) -> None:
    made = swept([row_of(tmp_path, fold, [f"data.fold={fold}"], "finished", 0.5 + fold / 2) for fold in range(2)])
    assert "all jobs: val/dice 0.75 +- 0.3536 over 2 folds" in list(results.told(made, tmp_path))
