"""Sweeps: planned whole, then one process and one folder per job."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.utils import JobReturn

from segfield.run import launcher

Cli = Callable[..., Any]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1")


def jobs(outputs: Path) -> list[Path]:
    return sorted(path.parent for path in (outputs / "sweeps").glob("*/*/config.yaml"))


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


@pytest.mark.slow
def test_a_sweep_over_models_gives_one_finished_folder_a_job(cli: Cli, outputs: Path) -> None:
    outcome = cli("train.py", "-m", "model=unet_small,unet_original,resnet_unet", *TINY)
    assert outcome.code == 0, outcome.err
    found = jobs(outputs)
    assert [folder.name for folder in found] == ["0", "1", "2"]
    targets = [yaml.safe_load((folder / "config.yaml").read_text())["model"]["_target_"] for folder in found]
    assert [target.rpartition(".")[2] for target in targets] == ["UNet", "UNet", "ResNetUNet"]
    for folder in found:
        assert json.loads((folder / "status.json").read_text())["state"] == "finished"
        assert len(list((folder / "tensorboard").glob("events.*"))) == 1
    assert len(list((outputs / "sweeps").iterdir())) == 1


@pytest.mark.slow
def test_the_plan_stands_before_the_first_job_and_a_job_that_dies_leaves_the_others_running(
    cli: Cli, outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os, signal\n"
        "from pathlib import Path\n"
        "from pytorch_lightning.callbacks import Callback\n"
        "class Die(Callback):\n"
        "    def __init__(self, now):\n"
        "        self.now = now\n"
        "    def on_train_start(self, trainer, pl_module):\n"
        "        assert len(list(Path('..').glob('*/config.yaml'))) == 2\n"
        "        if self.now:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SEGFIELD_ALLOW", "deadly.Die")
    outcome = cli("train.py", "-m", *TINY, "+callbacks.die._target_=deadly.Die", "+callbacks.die.now=true,false")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert outcome.err.count("is killed: exit code -9") == 1
    states = [json.loads((folder / "status.json").read_text())["state"] for folder in jobs(outputs)]
    assert states == ["running", "finished"]


def test_a_job_returns_the_best_monitored_score(cli: Cli, tmp_path: Path) -> None:
    assert cli("train.py", *TINY, f"hydra.run.dir={tmp_path / 'run'}").code == 0
    job = JobReturn(working_dir=str(tmp_path / "run"))
    launcher._run(job)  # finished already: the child says so
    best = json.loads((tmp_path / "run/status.json").read_text())["best"]["val/dice"]
    assert job.return_value == best


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_a_sweep_saves_its_job_and_ends_it(tmp_path: Path, number: signal.Signals, code: int) -> None:
    train = Path(__file__).resolve().parents[2] / "train.py"
    long = [*TINY, "model.width=4", "trainer.max_epochs=2000", "data.num_workers=2", f"hydra.sweep.dir={tmp_path}"]
    with subprocess.Popen([sys.executable, train, "-m", *long], start_new_session=True) as sweep:
        deadline = time.monotonic() + 120
        while not (tmp_path / "0/checkpoints/last.ckpt").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(sweep.pid, number)
        assert sweep.wait(60) == code
    assert json.loads((tmp_path / "0/status.json").read_text())["state"] == "interrupted"
