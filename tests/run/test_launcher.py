"""Sweeps as a user types them: planned whole, refused whole. Jobs are forks where they run at all."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from segfield.run.lock import locked

Cli = Callable[..., Any]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1", "model.width=4")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    """Everything but the lock, which this process must not open while it holds it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock.json"
    }


def test_all_jobs_are_checked_and_none_is_frozen_where_one_is_wrong(cli: Cli, outputs: Path) -> None:
    outcome = cli("train.py", "-m", *TINY, "optimizer.lr=-1,1e-3", "data.batch_size=2,100")
    assert outcome.code == 2
    said = outcome.err.splitlines()
    assert [line for line in said if "job" in line.lower()] == [
        *(f"Job {number} of this sweep cannot start:" for number in (0, 1, 3)),
        "No job was run, and none is frozen.",
    ]
    assert [line.split(":")[0] for line in said if line.startswith("- ")].count("- optimizer") == 2
    assert not list(outputs.rglob("config.yaml"))


def test_one_port_for_several_jobs_at_once_is_refused(cli: Cli, tmp_path: Path) -> None:
    words = ("ranks.port=29801", "optimizer.lr=1e-2,1e-3", "hydra.launcher.jobs=2")
    outcome = cli("train.py", "-m", *TINY, *words, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert outcome.code == 2
    assert outcome.err.count("- ranks.port=29801 is one for hydra.launcher.jobs=2 at once. Use ranks.port=null") == 2


def test_a_typing_error_leaves_no_folder(tmp_path: Path) -> None:
    train, sweep = Path(__file__).resolve().parents[2] / "train.py", tmp_path / "sweep"
    words = [*TINY, "optimizer.lr=1e-2,-1", f"hydra.sweep.dir={sweep}"]
    done = subprocess.run([sys.executable, train, "-m", *words], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert not sweep.exists()


def test_of_many_wrong_jobs_the_first_are_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segfield.run.batch._MOST_WRONG", 2)
    outcome = cli("train.py", "-m", *TINY, "optimizer.lr=1e-3,-1", "seed=range(4)")
    assert outcome.code == 2
    assert outcome.err.count("of this sweep cannot start:\n- optimizer: Invalid learning rate: -1") == 2
    assert "6 of 8 jobs are checked: these are enough." in outcome.err


def test_a_key_that_all_jobs_leave_out_is_left_out_of_each(cli: Cli) -> None:
    outcome = cli("train.py", "-m", *TINY, "seed=0,1", "optimizer.lr=-1", "~callbacks.panels")
    assert outcome.code == 2
    assert outcome.err.count("of this sweep cannot start:\n- optimizer: Invalid learning rate: -1") == 2, outcome.err


def test_a_job_whose_folder_holds_another_run_keeps_the_others_from_being_frozen(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "sweep/1").mkdir(parents=True)
    (tmp_path / "sweep/1/config.yaml").write_text("data: {}\ntrainer: {}\nseed: 5\n")
    outcome = cli("train.py", "-m", *TINY, "optimizer.lr=1e-3,1e-4", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert outcome.code == 2
    assert "Job 1 of this sweep cannot start" in outcome.err
    assert "seed: 5 there, 0 now" in outcome.err
    assert not (tmp_path / "sweep/0").exists()


def test_an_option_that_one_job_of_a_sweep_does_not_have_is_named(cli: Cli, outputs: Path) -> None:
    outcome = cli("train.py", "-m", *TINY, "model=unet_small,unet_smal")
    assert outcome.code == 2
    assert "- model=unet_smal: conf/model/ has" in outcome.err
    assert "Traceback" not in outcome.err
    assert not list(outputs.rglob("config.yaml"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.fold=range(0)"], "- 0 jobs: one of the lists or ranges is empty. range(3) is 0,1,2"),
        (["seed=range(4)", "data.fold=range(2,2)", "hydra.sweeper.max_batch_size=2"], "- 0 jobs"),
        (["seed=range(1001)"], "- 1001 jobs are more than hydra.launcher.max_jobs=1000."),
        (["seed=range(1000000000)", "model=unet,unet_small"], "allow them with hydra.launcher.max_jobs=2000000000."),
        (["optimizer.lr=range(0.1,0.4,0.1)", "hydra.launcher.max_jobs=2"], "- 3 jobs are more than"),
        (["seed=3,4,5", "seed=1,2", "hydra.launcher.max_jobs=1"], "- 2 jobs are more than"),
        (["hydra.launcher.jobs=0"], "- hydra.launcher.jobs=0 must be a number of jobs at once, 1 or more."),
        (["hydra.launcher.max_jobs=0"], "- hydra.launcher.max_jobs=0 must be a number of jobs, 1 or more."),
        (["hydra.launcher.retry_failed=2"], "- hydra.launcher.retry_failed=2 must be true or false."),
        (["hydra.sweep.subdir=x"], "- hydra.sweep.subdir cannot be set: a job's folder is its number"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_any_job_is_composed_or_anything_written(
    cli: Cli, outputs: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", lambda *_: os._exit(77))
    outcome = cli("train.py", "-m", *TINY, *words)
    assert outcome.code == 2
    assert outcome.err.startswith("This sweep cannot start:\n")
    assert message in outcome.err
    assert not outputs.exists()


def test_more_devices_at_once_than_there_are_are_told_before_anything_is_frozen(
    cli: Cli, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    outcome = cli("train.py", "-m", *TINY, "seed=1,2,3", "hydra.launcher.jobs=3")
    assert outcome.code == 2
    assert "This sweep cannot start:\n- hydra.launcher.jobs=3 x trainer.devices=1 needs 3 GPUs, 2 are" in outcome.err
    assert not list(outputs.rglob("config.yaml"))


@pytest.mark.slow
@pytest.mark.usefixtures("forked_jobs")
def test_a_sweep_writes_its_jobs_its_table_and_its_folds_and_goes_on_where_it_was_left(
    cli: Cli, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    words = ["data.folds=2", "data.fold=range(2)", f"hydra.sweep.dir={sweep}"]
    outcome = cli("train.py", "-m", *TINY, *words, "hydra.launcher.jobs=2")
    assert outcome.code == 0, outcome.err
    jobs = yaml.safe_load((sweep / "sweep.yaml").read_text())["jobs"]
    assert [(job["number"], job["overrides"][-1], job["epochs"]) for job in jobs] == [
        (0, "data.fold=0", 1),
        (1, "data.fold=1", 1),
    ]
    assert "finished: " in (sweep / "1/console.txt").read_text()
    scores = [json.loads((sweep / f"{n}/status.json").read_text())["best"]["val/dice"] for n in (0, 1)]
    assert [float(row["best"]) for row in table(sweep / "sweep.csv")] == pytest.approx(scores)
    (folds,) = table(sweep / "folds.csv")
    assert float(folds["mean"]) == pytest.approx(sum(scores) / 2, abs=1e-5)
    assert float(folds["std"]) == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5, abs=1e-5)
    assert f"best: job {scores.index(max(scores))}, val/dice=" in outcome.err

    again = cli("train.py", "-m", *TINY, *words)
    assert again.code == 0
    assert "jobs 0, 1 ended in an earlier execution: not run again" in again.err
    (sweep / "1").rename(tmp_path / "gone")
    resumed = cli("segfield", "execute", sweep)
    assert resumed.code == 1
    assert "1 has no config.yaml. Give the sweep's own command again: it is frozen anew" in resumed.err
    frozen = cli("train.py", "-m", *TINY, *words)
    assert frozen.code == 0, frozen.err
    assert (sweep / "1/trace.csv").read_bytes() == (tmp_path / "gone/trace.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("forked_jobs")
def test_identical_jobs_run_once_and_have_a_row_each(cli: Cli, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    outcome = cli("train.py", "-m", *TINY, "seed=1,2", "data.num_workers=0,1", f"hydra.sweep.dir={sweep}")
    assert outcome.code == 0, outcome.err
    assert "job 1 is job 0 again: not run" in outcome.err
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == ["0", "2"]
    rows = table(sweep / "sweep.csv")
    assert [(row["job"], row["folder"], row["state"], row["reason"]) for row in rows] == [
        ("0", "0", "finished", ""),
        ("1", "0", "finished", "the same as job 0"),
        ("2", "2", "finished", ""),
        ("3", "2", "finished", "the same as job 2"),
    ]
    assert rows[0]["best"] == rows[1]["best"] != rows[2]["best"]


@pytest.fixture
def stood(cli: Cli, tmp_path: Path) -> Path:
    """A sweep of three frozen jobs that were stopped before the first started."""
    sweep = tmp_path / "sweep"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segfield.run.launcher.Execution.run", lambda *_: os._exit(77))
        assert cli("train.py", "-m", *TINY, "optimizer.lr=1e-3,1e-4,1e-5", f"hydra.sweep.dir={sweep}").code == 77
    assert (sweep / "2/config.yaml").exists()
    return sweep


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer.lr=1e-3,1e-4,1"], "optimizer.lr: 1e-05 there, 1 now\nNothing was changed."),
        (["optimizer.lr=1e-3,1e-4"], "sweep.yaml is of another command: it has job 2, this command has 2 jobs"),
        (["optimizer.lr=1e-3,1e-4,1e-5", "model.widht=7"], "Could not override 'model.widht'"),
    ],
)
def test_a_sweep_folder_of_another_command_is_refused_and_nothing_changes(
    cli: Cli, stood: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    before = files(stood)
    monkeypatch.setattr("os._exit", _with_exit_functions(os._exit))
    outcome = cli("train.py", "-m", *TINY, *words, f"hydra.sweep.dir={stood}")
    assert outcome.code == 2
    assert message in outcome.err
    assert files(stood) == before


def test_a_job_of_another_command_is_refused_where_its_folder_is_gone(cli: Cli, stood: Path) -> None:
    (stood / "2").rename(stood.parent / "gone")
    outcome = cli("train.py", "-m", *TINY, "optimizer.lr=1e-3,1e-4,1", f"hydra.sweep.dir={stood}")
    assert outcome.code == 2
    assert "sweep.yaml is of another command: its job 2 is debug=fast" in outcome.err
    assert f"python -m segfield execute {stood}" in outcome.err


def test_a_sweep_folder_that_another_process_runs_is_refused(cli: Cli, stood: Path) -> None:
    with locked(stood):
        before = files(stood)
        del before["multirun.yaml"]  # Hydra's; it is put back when the process ends
        executed = cli("segfield", "execute", stood)
        planned = cli("train.py", "-m", *TINY, "optimizer.lr=1e-3,1e-4,1e-5", f"hydra.sweep.dir={stood}")
        for outcome in (executed, planned):
            assert outcome.code == 2
            assert f"{stood} is being executed already, by process {os.getpid()}" in outcome.err
        assert "choose another folder. Type hydra.sweep.dir=<folder>." in planned.err
        assert before.items() <= files(stood).items()


def _with_exit_functions(leave: Callable[[int], None]) -> Callable[[int], None]:
    """The command's fork leaves without them, unlike a real process."""

    def call(code: int) -> None:
        import atexit

        atexit._run_exitfuncs()
        leave(code)

    return call
