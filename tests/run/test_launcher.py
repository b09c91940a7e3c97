"""Sweeps: planned whole, then one process and one folder per job."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Cli = Callable[..., Any]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1")


def jobs(outputs: Path) -> list[Path]:
    return sorted(path.parent for path in (outputs / "sweeps").glob("*/*/config.yaml"))


def test_no_job_runs_where_one_of_the_plan_is_wrong(cli: Cli, outputs: Path) -> None:
    outcome = cli("train.py", "-m", *TINY, "optimizer.lr=1e-3,-1")
    assert outcome.code == 2
    assert "Job 1 of this sweep cannot start" in outcome.err
    assert "No job was run" in outcome.err
    assert not list(outputs.rglob("trace.csv"))


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
    assert "JobError" in outcome.err
    assert "is running: exit code -9" in outcome.err
    states = [json.loads((folder / "status.json").read_text())["state"] for folder in jobs(outputs)]
    assert states == ["running", "finished"]
