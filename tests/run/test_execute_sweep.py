"""Sweeps with real processes: side by side, killed, stopped, continued."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from segfield.run.lock import alive

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).resolve().parents[2]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1", "model.width=4", "model.depth=2")
LONG = (*TINY, "trainer.max_epochs=3000")


class Sweeps:
    """Commands as one types them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, *map(str, words)]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stderr=pipe, text=True, start_new_session=True
        )

    def __call__(self, *words: str | Path) -> tuple[int, str]:
        with self.start(*words) as process:
            _, said = process.communicate()
        return process.returncode, said

    def train(self, *words: str) -> tuple[int, str]:
        return self(PROJECT / "train.py", "-m", *words, "hydra.sweep.dir=sweep")

    def execute(self, *words: str) -> tuple[int, str]:
        return self("-m", "segfield", "execute", "sweep", *words)


@pytest.fixture
def sweeps(tmp_path: Path) -> Sweeps:
    (tmp_path / "modules").mkdir()
    shutil.copy(Path(__file__).with_name("act.py"), tmp_path / "modules")
    path = os.pathsep.join([str(PROJECT / "src"), str(tmp_path / "modules")])
    return Sweeps(tmp_path, {**os.environ, "PYTHONPATH": path, "SEGFIELD_ALLOW": "act.Act"})


def act(*what: str) -> list[str]:
    return ["+callbacks.act._target_=act.Act", f"+callbacks.act.what={','.join(what)}"]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep/sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def states(folder: Path) -> list[str]:
    return [row["state"] for row in rows(folder)]


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return found


def wait_for(fact: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def saved(folder: Path) -> bool:
    return (folder / "checkpoints/last.ckpt").exists()


def test_two_jobs_that_wait_for_each_other_run_at_once(sweeps: Sweeps, tmp_path: Path) -> None:
    code, said = sweeps.train(*TINY, *act("meet0", "meet1"), "hydra.launcher.jobs=2")
    assert code == 0, said
    assert states(tmp_path) == ["finished", "finished"]


def test_jobs_that_fail_crash_or_are_killed_leave_the_others_running(sweeps: Sweeps, tmp_path: Path) -> None:
    code, said = sweeps.train(*TINY, *act("fail", "segfault", "kill", "none"), "hydra.launcher.jobs=2")
    assert code == 1
    assert "Traceback" not in said
    assert [(row["state"], row["reason"]) for row in rows(tmp_path)] == [
        ("failed", "it broke"),
        ("killed", "signal 11 (segmentation fault)"),
        ("killed", "signal 9 (out of memory?)"),
        ("finished", ""),
    ]
    assert "job 0 (callbacks.act.what=fail) failed: it broke in " in said
    assert "    The run has failed; see " in said
    assert "    Fatal Python error: Segmentation fault\n" in said
    assert re.search(r'act\.py", line \d+ in on_train_start\n', said)
    assert "job 2 (callbacks.act.what=kill) killed: signal 9 (out of memory?) in " in said
    assert "4 jobs: 1 failed, 2 killed, 1 finished" in said

    code, said = sweeps.execute()  # what was killed is tried again, what failed is not
    assert code == 1
    assert "job 0 failed before: not run again; hydra.launcher.retry_failed=true does" in said
    assert "job 3 ended in an earlier execution: not run again" in said
    assert [line.split()[1] for line in said.splitlines() if " started: " in line] == ["1", "2"]

    (tmp_path / "sweep/mended").touch()
    code, said = sweeps.execute("hydra.launcher.retry_failed=true")
    assert code == 1
    assert states(tmp_path) == ["finished", "killed", "killed", "finished"]


def test_batches_that_follow_a_failed_job_run_all_the_same(sweeps: Sweeps, tmp_path: Path) -> None:
    code, said = sweeps.train(*TINY, *act("fail", "none"), "hydra.sweeper.max_batch_size=1")
    assert code == 1
    assert "Error executing job" not in said
    assert states(tmp_path) == ["failed", "finished"]
    assert said.count("2 jobs: 1 failed, 1 finished") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_every_job_and_the_same_command_goes_on(
    sweeps: Sweeps, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    words = (PROJECT / "train.py", "-m", *LONG, "data.num_workers=1", "seed=1,2,3", "hydra.sweep.dir=sweep")
    with sweeps.start(*words, "hydra.launcher.jobs=2") as process:
        wait_for(lambda: saved(tmp_path / "sweep/0") and saved(tmp_path / "sweep/1"))
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=100)
    assert process.returncode == code
    assert "no further job starts, the running ones save and end" in said
    assert states(tmp_path) == ["interrupted", "interrupted", "planned"]
    steps = [status(tmp_path / f"sweep/{job}")["step"] for job in (0, 1)]
    with sweeps.start(*words, "hydra.launcher.jobs=3") as process:
        wait_for(lambda: saved(tmp_path / "sweep/2"))
        wait_for(lambda: all(status(tmp_path / f"sweep/{job}")["step"] > steps[job] for job in (0, 1)))
        os.killpg(process.pid, number)
        process.communicate(timeout=100)
    executions = yaml.safe_load((tmp_path / "sweep/0/environment.yaml").read_text())
    assert [entry["from_step"] for entry in executions] == [0, steps[0]]
    assert states(tmp_path) == ["interrupted"] * 3


@pytest.mark.parametrize("preload", ["false", "true"])
def test_a_sweep_whose_process_is_killed_is_continued_and_ends_as_an_undisturbed_one(
    sweeps: Sweeps, tmp_path: Path, preload: str
) -> None:
    words = (*TINY, *act("hold"), "trainer.max_epochs=4", "seed=1,2", "hydra.sweep.dir=sweep")
    at_once = ("hydra.launcher.jobs=2", f"hydra.launcher.preload={preload}")
    consoles = [tmp_path / f"sweep/{job}/console.txt" for job in (0, 1)]
    with sweeps.start(PROJECT / "train.py", "-m", *words, *at_once) as process:
        wait_for(lambda: saved(tmp_path / "sweep/0") and saved(tmp_path / "sweep/1"))
        process.kill()  # its jobs get SIGTERM by that
        process.communicate()
    wait_for(lambda: all("SIGTERM: saving after" in console.read_text() for console in consoles))
    (tmp_path / "sweep/go").touch()
    code, said = sweeps.execute(*at_once)  # jobs may still save
    assert code == 0, said
    assert states(tmp_path) == ["finished", "finished"]
    for job in (0, 1):
        first, second = yaml.safe_load((tmp_path / f"sweep/{job}/environment.yaml").read_text())
        assert (first["from_step"], second["from_step"]) in ((0, 2), (0, 3))
    twin = tmp_path / "sweep/twin"
    twin.mkdir()
    shutil.copy(tmp_path / "sweep/1/config.yaml", twin)
    assert sweeps("-m", "segfield", "execute", twin)[0] == 0
    assert (tmp_path / "sweep/1/trace.csv").read_bytes() == (twin / "trace.csv").read_bytes()


def test_an_edit_of_conf_while_a_sweep_runs_does_not_reach_its_jobs(sweeps: Sweeps, tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("conf", "src"):
        shutil.copytree(PROJECT / name, project / name)
    shutil.copy(PROJECT / "train.py", project)
    sweeps.environment["PYTHONPATH"] = os.pathsep.join([str(project / "src"), str(tmp_path / "modules")])
    words = (*TINY, *act("edit", "none"), "hydra.sweep.dir=sweep")
    code, said = sweeps(project / "train.py", "-m", *words)
    assert code == 0, said
    assert "lr: 0.5" in (project / "conf/optimizer/adamw.yaml").read_text()
    with (tmp_path / "sweep/1/metrics.csv").open(newline="") as file:
        assert [float(row["lr"]) for row in csv.DictReader(file)] == pytest.approx([1e-3])
    code, said = sweeps(project / "train.py", "-m", *words)  # now of another command
    assert code == 2
    assert "optimizer.lr: 0.001 there, 0.5 now" in said
    assert "To go on with the jobs that were frozen before: python -m segfield execute" in said


def test_a_second_sweep_in_the_same_folder_is_refused_while_the_first_goes_on(sweeps: Sweeps, tmp_path: Path) -> None:
    words = (*LONG, "seed=1,2", "hydra.sweep.dir=sweep")
    with sweeps.start(PROJECT / "train.py", "-m", *words) as process:
        wait_for(lambda: saved(tmp_path / "sweep/0"))
        record = (tmp_path / "sweep/multirun.yaml").read_bytes()
        for code, said in (sweeps.train(*LONG, "seed=1,2", "model.norm=group"), sweeps.execute()):
            assert code == 2
            assert "sweep is being executed already, by process" in said
        assert (tmp_path / "sweep/multirun.yaml").read_bytes() == record
        assert alive(tmp_path / "sweep/0")
        process.terminate()
        process.communicate(timeout=100)
    assert states(tmp_path) == ["interrupted", "planned"]


@pytest.mark.parametrize("preload", ["false", "true"])
def test_two_jobs_of_two_ranks_each_are_two_folders_with_one_config_and_one_tensorboard_run(
    sweeps: Sweeps, tmp_path: Path, preload: str
) -> None:
    ranks = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "model.norm=group")
    code, said = sweeps.train(*TINY, *ranks, "seed=1,2", "hydra.launcher.jobs=2", f"hydra.launcher.preload={preload}")
    assert code == 0, said
    assert sorted(path.parent.name for path in tmp_path.rglob("config.yaml")) == [".hydra", ".hydra", "0", "1"]
    for job in (0, 1):
        assert len(list((tmp_path / f"sweep/{job}/tensorboard").glob("events.*"))) == 1
        assert {path.name for path in (tmp_path / f"sweep/{job}/ranks").iterdir()} >= {"1.log"}
    assert states(tmp_path) == ["finished", "finished"]


def test_each_of_two_jobs_at_once_sees_its_own_gpu(sweeps: Sweeps, tmp_path: Path) -> None:
    sweeps.environment["CUDA_VISIBLE_DEVICES"] = "6,7"
    code, said = sweeps.train(*TINY, *act("environment"), "seed=1,2", "hydra.launcher.jobs=2")
    assert code == 0, said
    assert {(tmp_path / f"sweep/{job}/environment.txt").read_text() for job in (0, 1)} == {"6", "7"}
