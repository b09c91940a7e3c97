import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.run.frozen import Frozen
from segfield.run.listing import Run, epochs, find, read
from segfield.run.lock import locked

KEPT = Path(__file__).resolve().parents[2] / "experiments/repeatability/baseline"
Cli = Callable[..., Any]


def found(place: Path) -> list[str]:
    notes: list[str] = []
    names = [folder.relative_to(place).as_posix() for folder in find(place, notes)]
    assert notes == []
    return names


def look(folder: Path) -> Run:
    return read(folder, folder.name, Frozen())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A frozen folder without a status."""
    (tmp_path / "run").mkdir()
    shutil.copy(KEPT / "config.yaml", tmp_path / "run/config.yaml")
    return tmp_path / "run"


def test_runs_are_found_at_any_depth_but_not_inside_one_another_nor_in_hidden_folders(tmp_path: Path) -> None:
    for name in ("b_c/2", "b_c/1", "sweeps/t/0", "b_c/1/predictions/x", ".hidden/run", "empty/folder"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").touch()
    (tmp_path / "empty/folder/config.yaml").unlink()
    assert found(tmp_path) == ["b_c/1", "b_c/2", "sweeps/t/0"]
    assert found(tmp_path / "b_c/1") == ["."]


def test_a_link_to_a_folder_is_followed_once_and_a_ring_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "disk/run").mkdir(parents=True)
    (tmp_path / "disk/run/config.yaml").touch()
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/a").symlink_to(tmp_path / "disk/run")
    (tmp_path / "outputs/again").symlink_to(tmp_path / "disk")
    (tmp_path / "outputs/ring").symlink_to(tmp_path / "outputs")
    (tmp_path / "outputs/nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "outputs/itself").symlink_to("itself")
    assert found(tmp_path / "outputs") == ["a"]


def test_a_place_that_is_gone_holds_no_run_and_one_that_is_no_folder_is_noted(tmp_path: Path) -> None:
    notes: list[str] = []
    (tmp_path / "file").touch()
    assert list(find(tmp_path / "gone", notes)) == []
    assert list(find(tmp_path / "file", notes)) == []
    assert notes == [f"{tmp_path}/file: Not a directory"]


def test_a_real_run_tells_all_its_facts_and_is_not_changed(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "2026-01-02_03-04-05-000006"
    outcome = cli("train.py", "debug=fast", "data.size=[32,32]", "data.length=10", f"hydra.run.dir={folder}")
    assert outcome.code == 0, outcome.err
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    run = look(folder)
    status = json.loads((folder / "status.json").read_text())
    assert run.notes == []
    assert run.facts == {
        **{"run": folder.name, "state": "finished", "model": "unet_small", "data": "blobs", "metric": "val/dice"},
        **{"best": status["best"]["val/dice"], "epoch": 1, "epochs": 1, "seconds": status["seconds"]},
        **{"memory_mb": status["peak_memory_mb"], "gpu_memory_mb": None, "reason": None},
        "frozen": "2026-01-02_03-04-05-000006",
    }
    assert (run.options["optimizer"], run.kind("optimizer")) == ("adamw", "AdamW")
    assert run.values["data.size"] == [32, 32]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_saved_experiment_has_its_best_score_from_its_rows() -> None:
    run = look(KEPT)
    rows = epochs(KEPT, [])
    assert run.facts["best"] == max(row["val/dice"] for row in rows)
    names = ("state", "model", "data", "metric", "epoch", "epochs", "seconds")
    assert [run.facts[name] for name in names] == ["saved", "UNet", "Blobs", "val/dice", 6, 6, None]


def test_the_best_score_is_the_least_where_the_task_says_min(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(
        text.replace("  monitor: val/dice\n  mode: max", "  monitor: val/loss\n  mode: min")
    )
    (run / "metrics.csv").write_text("epoch,step,val/loss\n0,9,0.5\n1,19,nan\n2,29,0.25\n3,39,\n")
    assert [look(run).facts[name] for name in ("metric", "best", "epoch")] == ["val/loss", 0.25, 4]


def test_a_frozen_folder_is_planned_and_a_dead_one_is_killed(run: Path) -> None:
    assert look(run).facts["state"] == "planned"
    (run / "status.json").write_text('{"state": "running", "epoch": 2, "best": {"val/dice": 0.5}}')
    assert look(run).facts["state"] == "killed"
    with locked(run):
        assert look(run).facts["state"] == "running"
    assert [look(run).facts[name] for name in ("best", "epoch")] == [0.5, 2]


@pytest.mark.parametrize("status", ["nan", "Infinity", "1e400", "true", '"x"', "null", "[]", "{}", "9" * 400])
def test_what_is_no_number_in_a_status_is_not_known(run: Path, status: str) -> None:
    status = status.replace("nan", "NaN")
    (run / "status.json").write_text(f'{{"state": "finished", "epoch": {status}, "peak_memory_mb": {status}}}')
    facts = look(run).facts
    assert [facts[name] for name in ("state", "epoch", "memory_mb", "best")] == ["finished", None, None, None]


def test_a_score_may_be_nan_and_another_score_stands_in_for_one_that_is_not_monitored(run: Path) -> None:
    (run / "status.json").write_text('{"state": "finished", "best": {"val/iou": NaN, "val/x": "y"}}')
    assert look(run).facts["metric"] == "val/iou"
    assert str(look(run).facts["best"]) == "nan"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3].rpartition(b"\n")[0] + b"\n  x: [")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def blown_up(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(2_000_000)


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


@pytest.mark.parametrize("harm", [cut, pipe, folder, blown_up, no_text, dangling])
def test_a_harmed_config_or_status_is_listed_and_named(run: Path, harm: Callable[[Path], None]) -> None:
    (run / "status.json").write_text('{"state": "finished", "epoch": 3, "best": {"val/dice": 0.5}}')
    shutil.copytree(run, run.parent / "other")
    harm(run / "config.yaml")
    damaged = look(run)
    assert [damaged.facts[name] for name in ("state", "best", "epoch", "model")] == ["damaged", 0.5, 3, None]
    assert [note.startswith(f"{run}/config.yaml: ") for note in damaged.notes] == [True]
    if harm is not dangling:  # then there is none, and it is planned
        harm(run.parent / "other/status.json")
        unknown = look(run.parent / "other")
        assert [unknown.facts[name] for name in ("state", "best", "model")] == ["unknown", None, "UNet"]
        assert [note.startswith(f"{run.parent}/other/status.json: ") for note in unknown.notes] == [True]


@pytest.mark.parametrize("harm", [pipe, folder, blown_up, no_text, dangling])
def test_without_hydras_record_a_run_is_called_by_its_classes(run: Path, harm: Callable[[Path], None]) -> None:
    (run / ".hydra").mkdir()
    (run / ".hydra/hydra.yaml").write_text(
        "hydra:\n  runtime:\n    choices:\n      model: unet\n      data: x\n  a: b\n"
    )
    assert (look(run).facts["model"], look(run).options) == ("unet", {"model": "unet", "data": "x"})
    harm(run / ".hydra/hydra.yaml")
    assert (look(run).facts["model"], look(run).notes) == ("UNet", [])


def test_a_broken_row_is_left_out_and_named_and_a_saved_run_is_damaged_by_it(run: Path) -> None:
    (run / "metrics.csv").write_text("epoch,step,val/dice\n0,9,0.5\n1,19,0.7\n2,2")
    damaged = look(run)
    assert [damaged.facts[name] for name in ("state", "best", "epoch")] == ["damaged", 0.7, 2]
    assert damaged.notes == [f"{run}/metrics.csv: broken, line 4"]
    for text in ("", "a,b\n1,2\n", "epoch,step,val/dice\nx,9,0.5\n"):
        (run / "metrics.csv").write_text(text)
        assert look(run).facts["state"] == "damaged"
    pipe(run / "metrics.csv")
    assert look(run).facts["state"] == "planned"
