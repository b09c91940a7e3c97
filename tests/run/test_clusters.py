"""hydra/launcher=ray, submitit_local and submitit_slurm: a real Ray of this machine, submitit's local executor."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins

from segfield.run import compose as composing

Cli = Callable[..., Any]
PROJECT = Path(__file__).resolve().parents[2]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1", "model.width=4", "logger=[]")
NEEDS = {
    "ray": ("hydra_plugins.hydra_ray_launcher", "needs Ray: pip install -e '.[ray]'"),
    "submitit": ("hydra_plugins.hydra_submitit_launcher", "needs submitit: pip install -e '.[slurm]'"),
}


def needs(launcher: str) -> None:
    name, reason = NEEDS[launcher.partition("_")[0]]
    pytest.importorskip(name, reason=reason)


def launcher_of(*words: str) -> dict[str, Any]:
    composing.register()
    with initialize_config_dir(str(PROJECT / "conf")):
        config = compose("train", list(words), return_hydra_config=True)
    return dict(config.hydra.launcher)


@pytest.mark.parametrize("name", ["ray", "submitit_local", "submitit_slurm"])
def test_a_preset_is_ours_and_gives_its_plugin_only_what_it_knows(name: str) -> None:
    needs(name)
    node = launcher_of(f"hydra/launcher={name}")
    file = yaml.safe_load((PROJECT / f"conf/hydra/launcher/{name}.yaml").read_text())
    assert set(node) == set(file), "the plugin's own preset of this name is hidden"
    assert node["_target_"] in Plugins.instance().class_name_to_class
    if name == "ray":
        assert set(node) == {"_target_", "ray"}
    else:
        from hydra_plugins.hydra_submitit_launcher.config import LocalQueueConf, SlurmQueueConf

        known = {"submitit_local": LocalQueueConf, "submitit_slurm": SlurmQueueConf}[name]
        assert set(node) <= set(known.__dataclass_fields__)
        assert node["tasks_per_node"] == 1


@pytest.mark.parametrize(("name", "extra"), [("ray", "ray"), ("submitit_local", "slurm"), ("submitit_slurm", "slurm")])
def test_without_the_extra_the_error_says_what_to_install(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    target = launcher_of(f"hydra/launcher={name}")["_target_"]
    monkeypatch.delitem(Plugins.instance().class_name_to_class, target, raising=False)
    outcome = cli("train.py", "-m", *TINY, f"hydra/launcher={name}")
    assert outcome.code == 2
    assert f"{target} is not installed. Type: pip install -e '.[{extra}]'" in outcome.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["submitit_slurm"], "needs SLURM, and srun is not found here. Type it on a machine where jobs are submitted"),
        (["ray", "hydra.launcher.ray.init.address=auto"], "no Ray cluster here to join. Start one with ray start"),
    ],
)
def test_a_cluster_that_is_not_there_is_told(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    needs(words[0])
    monkeypatch.setenv("PATH", "/nothing")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    outcome = cli("train.py", "-m", *TINY, f"hydra/launcher={words[0]}", *words[1:])
    assert outcome.code == 2, outcome.err
    assert message in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("tasks", "words", "message"),
    [
        ("4", ["trainer.devices=1"], r"SLURM_NTASKS=4: this run takes 1, .*--ntasks-per-node=1 --gpus-per-node=1,"),
        ("8", ["trainer.devices=4", "trainer.num_nodes=2"], r"=8: this run takes 2.*--nodes=2 .*--gpus-per-node=4,"),
        ("2", ["trainer.devices=auto"], r"--gpus-per-node=<number>, or, in a shell of SLURM's, SLURM_NTASKS=1 before"),
        ("1", [], ""),
        ("", [], ""),
    ],
)
def test_more_tasks_of_slurm_than_nodes_of_the_run_are_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tasks: str, words: list[str], message: str
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", tasks)
    outcome = cli("segfield", "check", *TINY, *words)
    assert outcome.code == (2 if message else 0), outcome.err
    assert re.search(message, outcome.err), outcome.err


@pytest.fixture
def started(tmp_path: Path, apart: Callable[..., subprocess.Popen[str]]) -> Callable[..., subprocess.Popen[str]]:
    """Start a sweep in tmp_path/s."""
    sweep = (*TINY, f"hydra.sweep.dir={tmp_path / 's'}")
    return lambda *words: apart("-m", *sweep, *words, RAY_AUTH_MODE="disabled")


def worker(job: Path) -> int:
    """The process that executes a job now; 0 where nobody does."""
    try:
        return int(json.loads((job / "lock.json").read_text())["pid"])
    except (OSError, ValueError):
        return 0


@pytest.fixture
def disturb(until: Callable[..., None], steps: Callable[[Path], int]) -> Callable[..., None]:
    """Send signals to the worker of a job when it has done some steps, and wait for the one after it."""

    def send(job: Path, process: subprocess.Popen[str], *signals: int) -> None:
        before = steps(job)
        until(lambda: steps(job) > before + 10, process)
        pid = worker(job)
        for number in signals:
            os.kill(pid, number)
            time.sleep(0.3)
        until(lambda: worker(job) not in (0, pid), process)

    return send


def assert_as_undisturbed(cli: Cli, tmp_path: Path, job: Path, *words: str) -> list[int]:
    """Compare a job with a run of the same configuration; return the steps that its executions went on from."""
    assert json.loads((job / "status.json").read_text())["state"] == "finished"
    assert cli("train.py", *TINY, *words, f"hydra.run.dir={tmp_path / 'twin'}").code == 0
    for name in ("trace.csv", "weights.sha256"):
        assert (job / name).read_bytes() == (tmp_path / "twin" / name).read_bytes()
    return [entry["from_step"] for entry in yaml.safe_load((job / "environment.yaml").read_text())]


@pytest.mark.slow
def test_jobs_on_a_local_ray_finish_also_where_a_worker_is_killed(
    cli: Cli,
    tmp_path: Path,
    started: Callable[..., subprocess.Popen[str]],
    until: Callable[..., None],
    disturb: Callable[..., None],
) -> None:
    needs("ray")
    small = ("hydra.launcher.ray.init.num_cpus=2", "+hydra.launcher.ray.init.object_store_memory=80000000")
    long = ("trainer.max_epochs=100", "callbacks.last.every_n_steps=7")
    sweep = started("hydra/launcher=ray", *small, *long, "optimizer.lr=1e-3,1e-2")
    until(lambda: worker(tmp_path / "s/0") and worker(tmp_path / "s/1"), sweep)
    assert worker(tmp_path / "s/0") != worker(tmp_path / "s/1"), "both run at once"
    disturb(tmp_path / "s/1", sweep, signal.SIGKILL)
    assert sweep.wait(180) == 0
    assert json.loads((tmp_path / "s/0/status.json").read_text())["state"] == "finished"
    first, second = assert_as_undisturbed(cli, tmp_path, tmp_path / "s/1", *long, "optimizer.lr=1e-2")
    assert first == 0
    assert second >= 7


@pytest.mark.slow
def test_a_job_of_submitit_is_requeued_after_a_preemption_and_loses_no_step(
    cli: Cli,
    tmp_path: Path,
    started: Callable[..., subprocess.Popen[str]],
    disturb: Callable[..., None],
) -> None:
    needs("submitit")
    long = ("trainer.max_epochs=100", "callbacks.last.every_n_minutes=null")
    sweep = started("hydra/launcher=submitit_local", *long, "optimizer.lr=1e-3")
    disturb(tmp_path / "s/0", sweep, signal.SIGTERM, signal.SIGUSR2)
    at = json.loads((tmp_path / "s/0/status.json").read_text())["step"]
    disturb(tmp_path / "s/0", sweep, signal.SIGUSR2)
    assert sweep.wait(180) == 0
    zero, second, third = assert_as_undisturbed(cli, tmp_path, tmp_path / "s/0", *long)
    assert zero == 0
    assert 0 < second <= at + 1
    assert second < third
    log = (tmp_path / "s/0/log.txt").read_text()
    assert "SIGTERM: saving after this step; the scheduler decides what comes then" in log
    assert log.count("continuing from step") == 2
    assert len(list((tmp_path / "s/.submitit").glob("*/*_log.out"))) == 1


@pytest.mark.slow
def test_a_failed_job_of_a_cluster_is_told_and_the_others_finish(
    tmp_path: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    needs("submitit")
    sweep = started("hydra/launcher=submitit_local", "optimizer.lr=1e-3,-1")
    _, said = sweep.communicate(timeout=120)
    assert sweep.returncode == 1
    assert "job 1 cannot start:\n- optimizer: Invalid learning rate: -1" in said
    assert "Traceback" not in said
    assert json.loads((tmp_path / "s/0/status.json").read_text())["state"] == "finished"
