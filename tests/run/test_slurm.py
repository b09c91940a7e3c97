"""hydra/launcher=submitit_slurm with stand-ins for SLURM's commands: the way of a job, not SLURM itself."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs submitit: pip install -e '.[slurm]'")
pytestmark = pytest.mark.slow

Cli = Callable[..., Any]
PROJECT = Path(__file__).resolve().parents[2]
TINY = (
    *("debug=fast", "data.size=[32,32]", "data.length=12", "data.batch_size=2", "model.width=4", "model.norm=group"),
    *("logger=[]", "trainer.max_epochs=60", "trainer.accelerator=cpu", "callbacks.last.every_n_minutes=null"),
)
# An array of 2 is started at once; a job that was requeued is started again when it has left.
SBATCH = """
import os, re, subprocess, sys
here, file = os.path.dirname(os.path.abspath(__file__)), sys.argv[-1]
text = open(file).read()
open(f"{here}/submitted", "w").write(text)
last = int(re.search(r"--array=0-(\\d+)", text)[1])
one = re.search(r"--cpus-per-task=(\\d+)", text)[1]
for task in range(last + 1):
    given = {"JOB_ID": 71 + task, "ARRAY_JOB_ID": 70, "ARRAY_TASK_ID": task, "NTASKS": 1, "JOB_NUM_NODES": 1}
    given |= {"NODEID": 0, "PROCID": 0, "LOCALID": 0, "CPUS_PER_TASK": one}
    env = {**os.environ, **{f"SLURM_{name}": str(value) for name, value in given.items()}}
    loop = f"while :; do bash {file}; test -e {here}/70_{task} || break; rm {here}/70_{task}; done"
    subprocess.Popen(["bash", "-c", loop], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print("Submitted batch job 70")
"""
SRUN = """
import os, sys
program = next(place for place, word in enumerate(sys.argv) if "python" in word)
os.execvp(sys.argv[program], sys.argv[program:])
"""
SCONTROL = "import os, sys\nopen(f'{os.path.dirname(os.path.abspath(__file__))}/{sys.argv[2]}', 'w')\n"
SACCT = "print('JobID|State|NodeList')\nfor task in range(2): print(f'70_{task}|RUNNING|here')\n"


@pytest.fixture
def slurm(tmp_path: Path, apart: Callable[..., subprocess.Popen[str]]) -> Callable[..., subprocess.Popen[str]]:
    """Start a sweep in tmp_path/s on a SLURM of stand-ins, whose commands lie in tmp_path/bin."""
    (tmp_path / "bin").mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "scontrol": SCONTROL, "sacct": SACCT}.items():
        (tmp_path / "bin" / name).write_text(f"#!{sys.executable}\n{text}")
        (tmp_path / "bin" / name).chmod(stat.S_IRWXU)

    def start(*words: str) -> subprocess.Popen[str]:
        sweep = ("hydra/launcher=submitit_slurm", f"hydra.sweep.dir={tmp_path / 's'}", "hydra.launcher.cpus_per_task=1")
        return apart("-m", *TINY, *sweep, *words, PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    return start


@pytest.mark.parametrize("ranks", [(), ("trainer=ddp", "trainer.devices=2")], ids=["one process", "two ranks"])
def test_jobs_of_an_array_are_told_to_save_and_go_on_after_their_requeue(
    cli: Cli,
    tmp_path: Path,
    slurm: Callable[..., subprocess.Popen[str]],
    until: Callable[..., None],
    steps: Callable[[Path], int],
    ranks: tuple[str, ...],
) -> None:
    sweep = slurm("optimizer.lr=1e-3,1e-2", "hydra.launcher.partition=gpu", *ranks)
    job = tmp_path / "s/1"
    until(lambda: steps(job) > 10, sweep)
    os.kill(json.loads((job / "lock.json").read_text())["pid"], signal.SIGUSR2)
    assert sweep.wait(240) == 0
    submitted = (tmp_path / "bin/submitted").read_text()
    for line in (
        "array=0-1%2",
        "partition=gpu",
        "ntasks-per-node=1",
        "gpus-per-node=1",
        "signal=USR2@120",
        "time=1440",
    ):
        assert f"#SBATCH --{line}\n" in submitted
    assert {path.name for path in (tmp_path / "s").iterdir() if path.is_dir()} == {"0", "1", ".submitit"}
    for name in ("0", "1"):
        assert json.loads((tmp_path / "s" / name / "status.json").read_text())["state"] == "finished"
        assert yaml.safe_load((tmp_path / "s" / name / "config.yaml").read_text())["threads"] == 1
    zero, second = [entry["from_step"] for entry in yaml.safe_load((job / "environment.yaml").read_text())]
    assert zero == 0
    assert second >= 10
    twin = tmp_path / "twin"
    outcome = cli("train.py", *TINY, *ranks, "optimizer.lr=1e-2", "threads=1", f"hydra.run.dir={twin}")
    assert outcome.code == 0, outcome.err
    assert (job / "trace.csv").read_bytes() == (twin / "trace.csv").read_bytes()


def test_the_batch_script_of_the_docs_requeues_itself_and_goes_on(
    tmp_path: Path,
    slurm: Callable[..., subprocess.Popen[str]],
    until: Callable[..., None],
    steps: Callable[[Path], int],
) -> None:
    text = (PROJECT / "docs/clusters.md").read_text()
    script = text[text.index("#!/bin/bash") :].partition("```")[0]
    typed = "python train.py trainer=ddp trainer.devices=4 hydra.run.dir=outputs/mine"
    assert typed in script
    run = tmp_path / "mine"
    words = " ".join([*TINY, "threads=1", "trainer=ddp", "trainer.devices=2", f"hydra.run.dir={run}"])
    (tmp_path / "script").write_text(script.replace(typed, f"{sys.executable} {PROJECT / 'train.py'} {words}"))
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(PROJECT / "src"), "SLURM_JOB_ID": "5"}
    command = ["bash", str(tmp_path / "script")]
    with subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE) as first:
        until(lambda: steps(run) > 10, first)
        os.kill(json.loads((run / "lock.json").read_text())["pid"], signal.SIGTERM)
        first.communicate(timeout=120)
    assert first.returncode == 143
    assert (tmp_path / "bin/5").exists(), "scontrol requeue 5"
    assert subprocess.run(command, env=environment, check=False, capture_output=True).returncode == 0
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    assert [entry["from_step"] > 0 for entry in yaml.safe_load((run / "environment.yaml").read_text())] == [False, True]
