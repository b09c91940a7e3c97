"""`segfield reproduce` and `segfield save` on real tiny runs."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from segfield.commands.reproduce import _new_folder

Cli = Callable[..., Any]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1")


def verdict_of(outputs: Path) -> tuple[Path, dict[str, Any]]:
    found = list(outputs.glob("*/*/verdict.json"))
    assert len(found) == 1, found
    content: dict[str, Any] = json.loads(found[0].read_text())
    return found[0].parent, content


@pytest.fixture
def run(cli: Cli, tmp_path: Path) -> Path:
    """A finished tiny run."""
    outcome = cli("train.py", *TINY, f"hydra.run.dir={tmp_path / 'run'}")
    assert outcome.code == 0, outcome.err
    return tmp_path / "run"


def test_a_rerun_is_bit_equal_and_names_its_parent(cli: Cli, run: Path, outputs: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    outcome = cli("segfield", "reproduce", run)
    assert outcome.code == 0, outcome.err
    assert "verdict: bit-equal: losses, metrics and weights are the same to the last bit" in outcome.out
    folder, found = verdict_of(outputs)
    assert folder.parent.name == "unet_blobs"
    assert (found["verdict"], found["drifted"], found["drifted_data"]) == ("bit-equal", {}, [])
    assert yaml.safe_load((folder / "parent.yaml").read_text()) == {"parent": str(run), "changed": {}}
    for name in ("splits.csv", "data.csv", "trace.csv", "weights.sha256"):
        assert (folder / name).read_bytes() == (run / name).read_bytes()
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_that_was_tampered_with_differs(cli: Cli, run: Path) -> None:
    header, first, second = (run / "trace.csv").read_text().splitlines()
    (run / "trace.csv").write_text(f"{header}\n{first}\n0,1,0.5\n")
    outcome = cli("segfield", "reproduce", run)
    assert outcome.code == 1
    assert f"differs from epoch 0, step 1: 0.5 against {second.split(',')[2]}" in outcome.out


def test_changed_keys_are_told_and_final_scores_compared(cli: Cli, run: Path) -> None:
    outcome = cli("segfield", "reproduce", run, "optimizer.lr=1e-2", "--tolerance", "1e3")
    assert outcome.code == 0, outcome.err
    assert "verdict: equal within tolerance: every final validation score is within 1000" in outcome.out
    assert "changed optimizer.lr: 0.001 -> 0.01" in outcome.out
    outcome = cli("segfield", "reproduce", run, "seed=5", "--tolerance", "0")
    assert outcome.code == 1
    assert "verdict: differs in the final val/loss" in outcome.out


def test_threads_are_placement_and_drift_by_name(cli: Cli, run: Path) -> None:
    entries = yaml.safe_load((run / "environment.yaml").read_text())
    entries[0]["placement"]["threads"] = 3
    (run / "environment.yaml").write_text(yaml.safe_dump(entries))
    outcome = cli("segfield", "reproduce", run, "threads=1")
    assert outcome.code == 0, outcome.err
    assert "verdict: bit-equal" in outcome.out
    assert "drifted threads: 3 -> 1" in outcome.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("optimizer.lrr=1",), "did you mean optimizer.lr"),
        (("optimizer=sgd",), "no such key with one value"),
        (("+optimizer.lr=1",), "Leave the [+] out"),
        (("optimizer.lr",), "Expected key=value"),
        (("optimizer.lr=-1",), "optimizer"),
    ],
)
def test_a_wrong_change_is_not_comparable(cli: Cli, run: Path, words: tuple[str, ...], message: str) -> None:
    outcome = cli("segfield", "reproduce", run, *words)
    assert outcome.code == 2
    assert outcome.err.startswith("not comparable: ")
    assert re.search(message, outcome.err)
    assert "Traceback" not in outcome.err


def test_a_run_that_has_not_ended_is_not_comparable(cli: Cli, run: Path, tmp_path: Path) -> None:
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    outcome = cli("segfield", "reproduce", run)
    assert outcome.code == 2
    assert "it has no end to compare with. Finish it first: python -m segfield execute" in outcome.err
    outcome = cli("segfield", "reproduce", tmp_path)
    assert outcome.code == 2
    assert "is no run folder" in outcome.err


def test_a_rerun_that_fails_is_not_comparable_and_can_go_on(cli: Cli, run: Path, tmp_path: Path) -> None:
    into = tmp_path / "rerun"
    shutil.copytree(run, tmp_path / "half")
    half = tmp_path / "half"
    assert cli("segfield", "reproduce", half, "--into", into).code == 0
    status = json.loads((into / "status.json").read_text())
    (into / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    outcome = cli("segfield", "reproduce", half, "--into", into)
    assert outcome.code == 0, outcome.err
    assert "verdict: bit-equal" in outcome.out
    outcome = cli("segfield", "reproduce", half, "--into", half)
    assert outcome.code == 2
    assert "is the run itself or lies in it" in outcome.err
    outcome = cli("segfield", "reproduce", half, "seed=4", "--into", into)
    assert outcome.code == 2
    assert "holds another run; these keys differ" in outcome.err
    (into / "splits.csv").write_text("id,group,part\n")
    (into / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    outcome = cli("segfield", "reproduce", half, "--into", into)
    assert outcome.code == 2
    assert "has not ended well" in outcome.err


def test_a_damaged_parent_is_named_before_anything_is_run_and_left_as_it_is(cli: Cli, run: Path, outputs: Path) -> None:
    (run / "environment.yaml").write_text("- placement: x\n")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    outcome = cli("segfield", "reproduce", run)
    assert outcome.code == 2
    assert "environment.yaml is damaged" in outcome.err
    assert not outputs.exists()
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert cli("segfield", "save", run, run.parent / "kept").code == 2


@pytest.mark.parametrize("tolerance", ["nan", "-1", "inf", "x"])
def test_a_tolerance_is_a_number_from_0_on(cli: Cli, run: Path, tolerance: str) -> None:
    outcome = cli("segfield", "reproduce", run, f"--tolerance={tolerance}")
    assert outcome.code == 2
    assert "--tolerance" in outcome.err


def test_data_in_its_default_place_is_looked_for_where_that_is_now(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert cli("segfield", "prepare", "demo", "carvana", first / "carvana", "cars=2", "size=[64,96]").code == 0
    monkeypatch.setenv("SEGFIELD_DATA", str(first))
    words = ("debug=fast", "data=carvana", "threads=1", f"hydra.run.dir={tmp_path / 'run'}")
    outcome = cli("train.py", *words)
    assert outcome.code == 0, outcome.err
    first.rename(second)
    monkeypatch.setenv("SEGFIELD_DATA", str(second))
    outcome = cli("segfield", "reproduce", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "verdict: bit-equal" in outcome.out


def pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for i in range(6):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"images/{i}.png")
        Image.fromarray((rng.random((32, 32)) > 0.5).astype(np.uint8) * 255).save(folder / f"masks/{i}.png")


def test_data_that_changed_is_named_by_file_and_stops_a_continued_run(cli: Cli, tmp_path: Path, outputs: Path) -> None:
    data, run = tmp_path / "pictures", tmp_path / "run"
    pictures(data)
    folders = (f"data.images={data / 'images'}", f"data.masks={data / 'masks'}")
    outcome = cli("train.py", "debug=fast", "data=folder", *folders, "threads=1", f"hydra.run.dir={run}")
    assert outcome.code == 0, outcome.err
    Image.new("RGB", (32, 32)).save(data / "images/3.png")
    outcome = cli("segfield", "reproduce", run, "--tolerance", "1e3")
    assert outcome.code == 0, outcome.err
    assert "drifted data: " in outcome.out
    assert "3.png" in outcome.out
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    outcome = cli("segfield", "execute", run)
    assert outcome.code == 1
    assert "The data is not what this run began with" in outcome.err
    assert "3.png" in outcome.err
    (run / "status.json").write_text(json.dumps(status))
    (data / "images/3.png").unlink()
    (data / "masks/3.png").unlink()
    outcome = cli("segfield", "reproduce", run)
    assert outcome.code == 2
    assert "3.png" in outcome.err


def test_a_saved_run_holds_no_place_no_weights_and_is_reproduced_bit_for_bit(
    cli: Cli, run: Path, tmp_path: Path, outputs: Path
) -> None:
    place = tmp_path / "experiments/study/baseline"
    outcome = cli("segfield", "save", run, place)
    assert outcome.code == 0, outcome.err
    assert f"reproduce it with: python -m segfield reproduce {place}" in outcome.out
    kept = {"config.yaml", "environment.yaml", "splits.csv", "data.csv", "trace.csv", "metrics.csv", "weights.sha256"}
    assert {path.name for path in place.iterdir()} == kept
    text = (place / "config.yaml").read_text() + (place / "environment.yaml").read_text()
    assert str(tmp_path) not in text
    assert "host" not in yaml.safe_load((place / "environment.yaml").read_text())[0]
    config = yaml.safe_load((place / "config.yaml").read_text())
    assert (config["threads"], config["trainer"]["devices"], config["data"]["num_workers"]) == (None, None, None)
    outcome = cli("segfield", "reproduce", place)
    assert outcome.code == 0, outcome.err
    assert "verdict: bit-equal" in outcome.out
    assert verdict_of(outputs)[1]["changed"] == {}
    outcome = cli("segfield", "save", run, place)
    assert outcome.code == 2
    assert "is not an empty folder, and nothing is overwritten" in outcome.err


def test_a_run_that_has_not_ended_or_lacks_a_file_is_not_kept(cli: Cli, run: Path, tmp_path: Path) -> None:
    (run / "data.csv").unlink()
    outcome = cli("segfield", "save", run, tmp_path / "kept")
    assert (outcome.code, (tmp_path / "kept").exists()) == (2, False)
    assert "lacks data.csv" in outcome.err
    (run / "status.json").write_text(json.dumps({"state": "failed"}))
    outcome = cli("segfield", "save", run, tmp_path / "kept")
    assert outcome.code == 2
    assert "only a finished run is kept" in outcome.err


def test_a_rerun_stands_beside_its_parent_which_is_named_by_its_options(outputs: Path, tmp_path: Path) -> None:
    config = {"model": {"_target_": "segfield.models.unet.UNet"}, "data": {"_target_": "segfield.data.blobs.Blobs"}}
    assert _new_folder(config, outputs / "unet_small_blobs/1").parent == outputs / "unet_small_blobs"
    assert _new_folder(config, outputs / "sweeps/1/0").parent == outputs / "unet_blobs"
    assert _new_folder(config, tmp_path / "elsewhere/run").parent == outputs / "unet_blobs"
