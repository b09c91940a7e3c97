"""Sweeps whose jobs have several processes: no rank starts the sweep again, no folder is made twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
TRAIN = Path(__file__).resolve().parents[2] / "train.py"
DDP = ("trainer=ddp", "trainer.devices=2", "hydra.launcher.jobs=2")


def state(folder: Path) -> str:
    found: str = json.loads((folder / "status.json").read_text())["state"]
    return found


@pytest.mark.parametrize("preload", ["false", "true"])
def test_a_sweep_of_two_jobs_of_two_processes_makes_two_folders_with_one_config_and_one_tensorboard_run_each(
    lab: Any, tmp_path: Path, preload: str
) -> None:
    sweep = tmp_path / "sweep"
    words = (*lab.tiny, *DDP, "optimizer.lr=1e-2,1e-3", f"hydra.launcher.preload={preload}")
    ended = lab.run(TRAIN, "-m", *words, f"hydra.sweep.dir={sweep}")
    assert ended.code == 0, ended.said
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == ["0", "1"]
    for job in (sweep / "0", sweep / "1"):
        assert state(job) == "finished"
        assert len(list(job.rglob("events.*"))) == 1
        assert [path.name for path in (job / "ranks").iterdir()] == ["1.log"]
        assert [path.parent.name for path in job.rglob("config.yaml")].count(job.name) == 1
    assert not (tmp_path / "multirun").exists()
    assert len((sweep / "sweep.csv").read_text().splitlines()) == 3


def test_ctrl_c_saves_on_all_ranks_of_all_jobs_and_the_sweep_goes_on(lab: Any, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    words = (*lab.tiny, *DDP, *lab.mischief("hold"), "seed=0,1", "trainer.max_epochs=20", f"hydra.sweep.dir={sweep}")
    with subprocess.Popen([sys.executable, TRAIN, "-m", *words], env=lab.environment, start_new_session=True) as run:
        deadline = time.monotonic() + 120
        while not all((sweep / name / "checkpoints/last.ckpt").exists() for name in "01"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        (sweep / "go").touch()
        assert run.wait(60) == 130
    assert [state(sweep / name) for name in "01"] == ["interrupted", "interrupted"]
    ended = lab.run("-m", "segfield", "execute", sweep, "hydra.launcher.jobs=2")
    assert ended.code == 0, ended.said
    for name in "01":
        assert "continuing from step" in (sweep / name / "log.txt").read_text()
        rows = (sweep / name / "trace.csv").read_text().splitlines()[1:]
        assert [int(row.split(",")[1]) for row in rows] == list(range(60))
