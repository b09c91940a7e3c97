"""A job on a worker of Hydra's own launchers: run_job as they call it, in a forked process."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.singleton import Singleton
from hydra.core.utils import run_job
from hydra.types import HydraContext
from omegaconf import OmegaConf

from segfield.run import compose as composing
from segfield.run import placement
from segfield.run.worker import anchored

PROJECT = Path(__file__).resolve().parents[2]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1", "model.width=4", "hydra.mode=MULTIRUN")


@pytest.fixture
def job(imported: None, tmp_path: Path) -> Callable[..., tuple[str, Any]]:
    """Run a job of the sweep in tmp_path on a worker; return its status, and its value or what it raised."""

    def call(*words: str) -> tuple[str, Any]:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.dup2(os.open(tmp_path / "said.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND), 2)
                sys.stderr = os.fdopen(2, "w", closefd=False)
                (tmp_path / "returned.json").write_text(json.dumps(_run(tmp_path, *words)))
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0, (tmp_path / "said.txt").read_text()
        status, value = json.loads((tmp_path / "returned.json").read_text())
        return status, value

    return call


def _run(folder: Path, *words: str) -> tuple[str, Any]:
    composing.register()
    with initialize_config_dir(str(PROJECT / "conf")):
        typed = [*TINY, f"hydra.sweep.dir={folder}", "hydra.job.num=0", *words]
        config = compose("train", typed, return_hydra_config=True)
    loader: Any = None
    returned = run_job(
        task_function=composing.run,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=HydraContext(config_loader=loader, callbacks=Callbacks(), execution_whitelist=()),
        configure_logging=False,
    )
    value = returned._return_value
    return returned.status.name, f"{type(value).__name__}: {value}" if isinstance(value, Exception) else value


def status(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return content


def test_a_job_freezes_and_executes_its_folder_and_returns_its_score(
    job: Callable[..., tuple[str, Any]], tmp_path: Path
) -> None:
    assert job() == ("COMPLETED", status(tmp_path / "0")["best"]["val/dice"])
    assert status(tmp_path / "0")["state"] == "finished"
    assert "model.width=4" in (tmp_path / "0/.hydra/overrides.yaml").read_text()
    assert job() == ("COMPLETED", status(tmp_path / "0")["best"]["val/dice"])
    assert "is finished already" in (tmp_path / "said.txt").read_text()


def test_a_job_that_is_brought_again_continues_what_is_frozen_also_where_conf_was_edited(
    job: Callable[..., tuple[str, Any]], tmp_path: Path
) -> None:
    assert job()[0] == "COMPLETED"
    frozen = yaml.safe_load((tmp_path / "0/config.yaml").read_text())
    frozen["optimizer"]["weight_decay"] = 0.125  # as if conf/ had said so then
    (tmp_path / "0/config.yaml").write_text(yaml.safe_dump(frozen))
    (tmp_path / "0/status.json").write_text(json.dumps({**status(tmp_path / "0"), "state": "running"}))
    assert job()[0] == "COMPLETED"
    assert status(tmp_path / "0")["state"] == "finished"
    other = job("optimizer.lr=0.5")
    assert other[0] == "FAILED"
    assert re.match(r"WorkerError: job 0 cannot start:\n- .*/0 holds another run; these keys differ:", other[1])


def test_a_job_that_cannot_start_fails_with_every_reason_and_leaves_the_worker_alive(
    job: Callable[..., tuple[str, Any]], tmp_path: Path
) -> None:
    state, value = job("optimizer.lr=-1", "data.batch_size=0")
    assert state == "FAILED"
    assert value.startswith("WorkerError: job 0 cannot start:\n- data.batch_size=0 must be")
    assert "\n- optimizer: Invalid learning rate: -1" in value
    assert not (tmp_path / "0/config.yaml").exists()


def test_a_job_that_fails_says_why(
    job: Callable[..., tuple[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text(
        "from pytorch_lightning.callbacks import Callback\n"
        "class Break(Callback):\n"
        "    def on_train_start(self, trainer, pl_module):\n"
        "        raise ValueError('it broke')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SEGFIELD_ALLOW", "broken.Break")
    assert job("+callbacks.x._target_=broken.Break") == ("FAILED", f"WorkerError: {tmp_path / '0'} is failed: it broke")


@pytest.mark.parametrize(
    ("name", "environment", "expected"),
    [
        ("SLURM's", {"SLURM_CPUS_PER_TASK": "1"}, 1),
        ("more than there are", {"SLURM_CPUS_PER_TASK": "1000"}, None),
        ("Ray's", {"RAY_JOB_ID": "1", "OMP_NUM_THREADS": "1"}, 1),
        ("nobody's", {"OMP_NUM_THREADS": "1"}, None),
        ("nonsense", {"SLURM_CPUS_PER_TASK": "2(x3)"}, None),
    ],
)
def test_a_job_takes_the_cores_that_it_was_given(
    monkeypatch: pytest.MonkeyPatch, name: str, environment: dict[str, str], expected: int | None
) -> None:
    for key in ("SLURM_CPUS_PER_TASK", "RAY_JOB_ID", "OMP_NUM_THREADS"):
        monkeypatch.delenv(key, raising=False)
    here = placement.cores()
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert placement.cores() == (expected or here), name


def test_resolvers_travel_to_a_worker_that_never_registered_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloudpickle = pytest.importorskip("cloudpickle", reason="needs a cluster's launcher: pip install -e '.[slurm]'")
    monkeypatch.setenv("SEGFIELD_OUTPUTS", str(tmp_path / "of the sweep"))
    composing.register()
    (tmp_path / "state.pkl").write_bytes(cloudpickle.dumps(Singleton.get_state()))
    wanted = "${outputs:}|${started:}|${cores:}"
    code = (
        "import pickle, sys\n"
        "from hydra.core.singleton import Singleton\n"
        "from omegaconf import OmegaConf\n"
        "Singleton.set_state(pickle.load(open(sys.argv[1], 'rb')))\n"
        f"print(OmegaConf.create({{'a': {wanted!r}}}).a)\n"
    )
    environment = {**os.environ, "SEGFIELD_OUTPUTS": "/of/the/worker", "SLURM_CPUS_PER_TASK": "1"}
    command = [sys.executable, "-c", code, tmp_path / "state.pkl"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd="/")
    here = OmegaConf.create({"a": "${outputs:}|${started:}"}).a
    assert done.stdout.strip() == f"{here}|1"
    assert here.startswith(f"{tmp_path}/of the sweep|")


def test_a_sweeps_folder_is_one_and_the_same_in_every_copy_of_its_config() -> None:
    composing.register()
    with initialize_config_dir(str(PROJECT / "conf")):
        config = compose("train", return_hydra_config=True)
    assert str(config.copy().hydra.sweep.dir) == str(config.copy().hydra.sweep.dir)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("hydra.sweep.dir=a/b-1", "hydra.sweep.dir={here}/a/b-1"),
        ("hydra.sweep.dir=../a", "hydra.sweep.dir={here}/../a"),
        ("hydra.sweep.dir=/a", "hydra.sweep.dir=/a"),
        ("hydra.sweep.dir=${outputs:}/a", "hydra.sweep.dir=${outputs:}/a"),
        ("hydra.run.dir=a", "hydra.run.dir=a"),
        ("model=unet", "model=unet"),
    ],
)
def test_a_typed_folder_of_a_sweep_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert anchored(word) == expected.replace("{here}", str(tmp_path))


def test_a_folder_whose_way_needs_quotes_is_left_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path / "a b")
    assert anchored("hydra.sweep.dir=c") == "hydra.sweep.dir=c"
