"""Runs on drift densities: killed, on two processes, reproduced and kept as any other run."""

import csv
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segfield.__main__ import main
from segfield.run.weights import read_digests

Cli = Callable[..., Any]
NETWORK = ("data=ocean_density", "model.width=4", "model.depth=2", "model.norm=group", "threads=1")
TINY = (
    *(*NETWORK, "data.batch_size=4", "trainer.max_epochs=2", "augmentation=ocean", "callbacks.panels.samples=1"),
    *("callbacks.last.every_n_steps=2", "trainer.log_every_n_steps=1", "optimizer=sgd"),
)


@pytest.fixture(scope="session")
def drift(make_drift_set: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three windows of each ensemble: an odd number to validate."""
    return make_drift_set(tmp_path_factory.mktemp("drift") / "set", maps=4)


def scores(folder: Path) -> dict[str, list[float]]:
    """The columns of metrics.csv that do not depend on the clock."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0] if not name.startswith("time/")}


def outcome(folder: Path) -> dict[str, Any]:
    """Everything of a finished run that must not depend on what it went through."""
    texts = {name: (folder / name).read_text() for name in ("trace.csv", "splits.csv")}
    with np.load(folder / "statistics.npz") as saved:
        learned = {name: saved[name].tobytes() for name in saved.files}
    return {**texts, "scores": scores(folder), "weights": read_digests(folder), "statistics": learned}


@pytest.fixture(scope="session")
def words(drift: Path) -> tuple[str, ...]:
    return (*TINY, f"data.root={drift}")


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed") / "twin"


@pytest.fixture
def undisturbed(cli: Cli, words: tuple[str, ...], twin: Path) -> Path:
    """A finished run, made once."""
    if not twin.exists():
        done = cli("train.py", *words, f"hydra.run.dir={twin}")
        assert done.code == 0, done.err
    return twin


def execute_until(folder: Path, happened: Callable[[], bool]) -> int:
    """Execute a run folder in a child process, and kill it as soon as something has happened there."""
    child = os.fork()
    if child == 0:
        try:
            out = os.open(folder.with_suffix(".txt"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            main(["execute", str(folder)])
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(99)
    while not happened():
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_bit_for_bit(cli: Cli, undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(undisturbed / "config.yaml", run)
    last = run / "checkpoints/last.ckpt"
    assert execute_until(run, last.exists) == -signal.SIGKILL, run.with_suffix(".txt").read_text()
    stamp = last.stat().st_mtime_ns
    assert execute_until(run, lambda: last.stat().st_mtime_ns > stamp) == -signal.SIGKILL
    done = cli("segfield", "execute", run)
    assert done.code == 0, done.err
    assert (run / "environment.yaml").read_text().count("from_step:") == 3
    assert outcome(run) == outcome(undisturbed)


@pytest.mark.slow
def test_two_processes_score_as_one_does(cli: Cli, undisturbed: Path, words: tuple[str, ...], tmp_path: Path) -> None:
    done = cli("train.py", *words, "trainer=ddp", "trainer.devices=2", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.code == 0, done.err
    one, two = scores(undisturbed), scores(tmp_path / "run")
    assert {"val/rmse", "val/rmse_persistence", "val/iou_50_mean", "val/distance_km"} <= set(one)
    for name, values in one.items():
        # Weights differ in the last bits, so one cell more or less may make up half of the mass.
        assert two[name] == pytest.approx(values, rel=1e-5, abs=2e-3 if "iou" in name else 1e-6), name
    baselines = [name for name in one if name.endswith(("_persistence", "_mean"))]
    assert all(two[name] == pytest.approx(one[name], rel=1e-6) for name in baselines)
    assert (tmp_path / "run/splits.csv").read_text() == (undisturbed / "splits.csv").read_text()


@pytest.mark.slow
def test_a_run_is_reproduced_to_the_last_bit_and_kept(cli: Cli, undisturbed: Path, drift: Path, tmp_path: Path) -> None:
    again = cli("segfield", "reproduce", undisturbed, "--into", tmp_path / "again")
    assert again.code == 0, again.err
    assert "verdict: bit-equal" in again.out
    assert outcome(tmp_path / "again") == outcome(undisturbed)
    learned = [(folder / "statistics.npz").read_bytes() for folder in (tmp_path / "again", undisturbed)]
    assert learned[0] == learned[1]
    kept = cli("segfield", "save", undisturbed, tmp_path / "kept")
    assert kept.code == 0, kept.err
    assert str(drift) not in (tmp_path / "kept/config.yaml").read_text()
    rerun = cli("segfield", "reproduce", tmp_path / "kept", f"data.root={drift}", "--into", tmp_path / "rerun")
    assert "verdict: bit-equal" in rerun.out, rerun.err
