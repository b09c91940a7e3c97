"""`segfield evaluate` on real tiny runs."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segfield.data.images import read_mask

Cli = Callable[..., Any]


def summary_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "evaluation/summary.json").read_text())
    return content


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def evaluated(cli: Cli, run: Path, *words: str) -> Any:
    """Train a run, evaluate it, and return how that ended."""
    outcome = cli("train.py", *words, f"hydra.run.dir={run}")
    assert outcome.code == 0, outcome.err
    outcome = cli("segfield", "evaluate", run)
    assert outcome.code == 0, outcome.err
    return outcome


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_scores_at_the_working_size_are_the_bits_that_training_reported(cli: Cli, blobs_run: Path) -> None:
    outcome = cli("segfield", "evaluate", blobs_run, "data.part=val")
    assert outcome.code == 0, outcome.err
    assert "the bits that training reported in metrics.csv" in outcome.out
    found = summary_of(blobs_run)
    part = found["parts"]["val"]
    (row,) = [row for row in rows_of(blobs_run / "metrics.csv") if row["epoch"] == str(found["checkpoint"]["epoch"])]
    reported = {name: float(value) for name, value in row.items() if name.startswith("val/")}
    assert part["logged"] == reported
    assert part["training"]["bit_equal"]
    scores = {name: score["value"] for name, score in part["working_size"]["scores"].items()}
    of_training = {"dice": "val/dice", "dice_set": "val/dice_set", "iou_set": "val/iou"}
    assert {name: scores[name] for name in of_training} == {name: reported[log] for name, log in of_training.items()}
    assert 0 < scores["dice"] < 1
    # Blobs are drawn at the working size.
    assert part["own_size"]["scores"] == part["working_size"]["scores"]


@pytest.mark.slow
def test_the_same_holds_for_a_run_of_two_ranks(cli: Cli, tmp_path: Path) -> None:
    words = ("debug=fast", "data.length=35", "data.batch_size=4", "trainer.limit_val_batches=1.0", "model.width=4")
    words += ("trainer.devices=2", "trainer.accelerator=cpu", "threads=2")
    outcome = evaluated(cli, tmp_path / "run", *words)
    assert "computed on one device: what comes out does not depend on their number" in outcome.err
    training = summary_of(tmp_path / "run")["parts"]["val"]["training"]
    # The mean of losses adds floats up, in another order.
    assert set(training["different"]) <= {"val/loss"}
    assert len(training["reported"]) >= 5


def test_the_test_part_is_the_default_where_there_is_one(cli: Cli, blobs_run: Path) -> None:
    outcome = cli("segfield", "evaluate", blobs_run)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("test: 3 images of 3 groups, best.ckpt of epoch ")
    assert "both empty 1, one empty 0" in outcome.out
    assert "working size 32x32  95 % interval     own size 32x32 (3)" in outcome.out
    found = summary_of(blobs_run)
    assert list(found["parts"]) == ["test"]
    assert found["parts"]["test"]["training"] is None
    score = found["parts"]["test"]["own_size"]["scores"]["dice"]
    assert score["low"] <= score["value"] <= score["high"]


def test_a_run_that_validated_on_some_batches_has_nothing_to_compare_with(cli: Cli, cars_run: Path) -> None:
    outcome = cli("segfield", "evaluate", cars_run, "data.part=val", "data.num_workers=1")  # debug=fast: 2 batches
    assert outcome.code == 0, outcome.err
    assert summary_of(cars_run)["parts"]["val"]["training"] is None
    assert "training reported" not in outcome.out


def test_parts_of_the_same_weights_stand_beside_one_another(cli: Cli, blobs_run: Path) -> None:
    for part in ("val", "test", "val"):
        assert cli("segfield", "evaluate", blobs_run, f"data.part={part}").code == 0
    assert set(summary_of(blobs_run)["parts"]) == {"val", "test"}
    for name in ("per_image", "per_group"):
        parts = [row["part"] for row in rows_of(blobs_run / f"evaluation/{name}.csv")]
        assert parts == ["val"] * 3 + ["test"] * 3
    panels = sorted(path.name.split("_")[:3] for path in (blobs_run / "evaluation/panels").iterdir())
    assert panels == [[part, kind, "01"] for part in ("test", "val") for kind in ("best", "worst")]
    best = torch.load(blobs_run / "checkpoints/best.ckpt", weights_only=True)
    torch.save({**best, "global_step": 1}, blobs_run / "checkpoints/best.ckpt")
    assert cli("segfield", "evaluate", blobs_run, "data.part=test").code == 0
    assert list(summary_of(blobs_run)["parts"]) == ["test"]
    assert {row["part"] for row in rows_of(blobs_run / "evaluation/per_image.csv")} == {"test"}


def test_the_score_at_the_own_size_is_that_of_the_masks_that_predict_writes(
    cli: Cli, cars: Path, cars_run: Path, tmp_path: Path
) -> None:
    outcome = cli("segfield", "evaluate", cars_run)
    assert outcome.code == 0, outcome.err
    assert "own size 64x96 (2)" in outcome.out
    rows = rows_of(cars_run / "evaluation/per_image.csv")
    assert len(rows) == 2
    assert {row["group"] for row in rows} == {rows[0]["id"].split("/")[1].split("_")[0]}
    for row in rows:
        assert cli("segfield", "predict", cars_run, cars / row["id"], f"out={tmp_path / 'out'}").code == 0
        stem = Path(row["id"]).stem
        predicted = read_mask(tmp_path / f"out/masks/{stem}.png") > 0
        true = read_mask(cars / f"train_masks/{stem}_mask.gif") > 0
        hits = int((predicted & true).sum())
        counts = {"hits": hits, "predicted": int(predicted.sum()), "true": int(true.sum())}
        assert {name: int(row[name]) for name in counts} == counts
        assert float(row["dice"]) == pytest.approx(2 * hits / (predicted.sum() + true.sum()), abs=1e-6)
        assert (row["part"], row["height"], row["width"]) == ("test", "64", "96")
    (group,) = rows_of(cars_run / "evaluation/per_group.csv")
    assert int(group["hits"]) == sum(int(row["hits"]) for row in rows)
    found = summary_of(cars_run)["parts"]["test"]
    assert found["own_size"]["sizes"] == {"64x96": 2}
    assert found["own_size"]["scores"]["dice_set"]["low"] is None  # one car


def test_a_network_without_a_border_is_scored_in_the_centre(cli: Cli, tmp_path: Path, cars: Path) -> None:
    words = ("debug=fast", "threads=1", "data=carvana", f"data.root={cars}", "model=unet_original", "model.border=none")
    outcome = evaluated(cli, tmp_path / "run", *words, "model.depth=1", "model.width=4", "data.size=[32,48]")
    assert "scored: the centre 16x32, for which the network has an output" in outcome.out
    assert "the pixels whose centre lies in that region" in outcome.out
    for row in rows_of(tmp_path / "run/evaluation/per_image.csv"):
        true = read_mask(cars / f"train_masks/{Path(row['id']).stem}_mask.gif")[16:48, 16:80]
        assert int(row["true"]) == true.sum()


def test_images_that_the_run_skips_are_in_no_score_and_named(cli: Cli, cars: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(cars, tmp_path / "cars"))
    words = ("debug=fast", "data=carvana", f"data.root={damaged}", "data.size=[32,48]", "data.on_error=skip")
    words += ("model.width=4", "data.val_fraction=0.5", "trainer.limit_val_batches=1.0", "threads=1")
    first = sorted((damaged / "train").iterdir())
    for path in first[:2]:  # both views of a car
        path.write_bytes(path.read_bytes()[:500])
    outcome = cli("train.py", *words, "data.split_seed=1", f"hydra.run.dir={tmp_path / 'run'}")
    assert outcome.code == 0, outcome.err
    for part in ("train", "val"):
        outcome = cli("segfield", "evaluate", tmp_path / "run", f"data.part={part}")
        assert outcome.code == 0, outcome.err
        found = summary_of(tmp_path / "run")["parts"][part]
        if found["skipped"]:
            assert list(found["skipped"]) == [f"train/{path.name}" for path in first[:2]]
            assert "2 images cannot be read and are in no score; summary.json names them" in outcome.out
            assert found["images"] == 2
        else:
            assert found["images"] == 4
    assert summary_of(tmp_path / "run")["parts"]["val"]["training"]["bit_equal"]
    assert sum(len(part["skipped"]) for part in summary_of(tmp_path / "run")["parts"].values()) == 2


def test_only_evaluation_and_the_log_are_written_wherever_the_run_lies(
    cli: Cli, cars_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Path(shutil.move(cars_run, tmp_path / "elsewhere"))
    before = files_of(moved)
    monkeypatch.chdir(tmp_path / "elsewhere/..")
    outcome = cli("segfield", "evaluate", "elsewhere", "data.part=train", "threads=1")
    assert outcome.code == 0, outcome.err
    after = files_of(moved)
    assert {path for path in after if before.get(path) != after[path] and path.parts[0] != "evaluation"} == {
        Path("log.txt")
    }
    assert "evaluating best.ckpt of epoch 1 on" in (moved / "log.txt").read_text()
