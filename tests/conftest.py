"""Fixtures: the command line by fork, from a parent that has imported everything, and the project's own folders."""

import faulthandler
import importlib.util
import os
import runpy
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Outcome:
    """What a command said and how it ended; a negative code is the signal that killed it."""

    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]
Ranks = Callable[[int, Callable[[], Any]], list[Any]]


@pytest.fixture(scope="session")
def imported() -> None:
    """Import what every command needs, once, so that a forked command starts in no time."""
    import h5netcdf  # noqa: F401
    import pytorch_lightning
    import segmentation_models_pytorch  # noqa: F401
    import torch
    import xarray  # noqa: F401
    from torch.utils.tensorboard import SummaryWriter  # noqa: F401

    import segfield.callbacks.panels
    import segfield.task  # noqa: F401

    torch.set_num_threads(1)
    assert pytorch_lightning.__version__


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs of this test go."""
    monkeypatch.setenv("SEGFIELD_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.delenv("SEGFIELD_DATA", raising=False)
    return tmp_path / "outputs"


@pytest.fixture
def cli(imported: None, outputs: Path, tmp_path: Path) -> Cli:
    """Run `train.py ...` or `segfield ...` in a forked child: cli("train.py", "debug=fast"), cli("segfield", ...)."""
    count = 0

    def call(program: str, *arguments: str | Path) -> Outcome:
        nonlocal count
        count += 1
        out, err = tmp_path / f"{count}.out", tmp_path / f"{count}.err"
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            code = 99
            try:
                os.dup2(os.open(out, os.O_CREAT | os.O_WRONLY), 1)
                os.dup2(os.open(err, os.O_CREAT | os.O_WRONLY), 2)
                sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
                faulthandler.enable(file=sys.stderr)
                code = _run(program, [str(argument) for argument in arguments])
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return Outcome(code, out.read_text(), err.read_text())

    return call


def _run(program: str, arguments: list[str]) -> int:
    try:
        if program == "segfield":
            from segfield.__main__ import main

            return main(arguments)
        sys.argv = [str(PROJECT / program), *arguments]
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


@pytest.fixture
def only_run(outputs: Path) -> Callable[[], Path]:
    """Return the one run folder of this test, when it is called."""

    def find() -> Path:
        found = [path.parent for path in outputs.glob("*/*/config.yaml")]
        assert len(found) == 1, found
        return found[0]

    return find


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the project; tests that need it are skipped where it is absent."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data, real files in their own formats, is not here")
    return folder


@pytest.fixture
def drift_set(tmp_path: Path) -> Path:
    """A small analytic set of drift densities, of a test's own; other ones: make_drift_set(folder, samples=...)."""
    return _ocean().write_set(tmp_path / "drift_set")


@pytest.fixture(scope="session")
def make_drift_set() -> Callable[..., Path]:
    """Write another set, for example make_drift_set(folder, samples=20, maps=13); see tests/ocean.py."""
    return _ocean().write_set


@pytest.fixture
def train_drift(cli: Cli) -> Callable[..., None]:
    """Train a tiny network on a set, two epochs, each rolled out: train_drift(run, root, "key=value", ...)."""
    import matplotlib.backends.backend_agg  # once, before a command is forked
    import matplotlib.style  # noqa: F401

    def train(run: Path, root: Path, *words: str) -> None:
        given = ("data=ocean_density", f"data.root={root}", "model.width=4", "model.depth=1", "trainer.max_epochs=2")
        given += ("trainer.accelerator=cpu", "threads=1", "callbacks.rollout.every_n_epochs=1", "logger=[]")
        outcome = cli("train.py", *given, "callbacks.rollout.ensembles=null", *words, f"hydra.run.dir={run}")
        assert outcome.code == 0, outcome.err

    return train


@pytest.fixture(scope="session")
def kept_drift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where drift_run is made once."""
    return tmp_path_factory.mktemp("kept_drift")


@pytest.fixture
def drift_run(
    train_drift: Callable[..., None], kept_drift: Path, make_drift_set: Callable[..., Path], tmp_path: Path
) -> Path:
    """A finished run that predicts densities, a copy: 20 ensembles of 3 windows over 58 days, the latest held out."""
    if not (kept_drift / "run/status.json").exists():
        root = make_drift_set(kept_drift / "set", samples=20, maps=4, days=60)
        train_drift(kept_drift / "run", root, "data.test_fraction=0.2", "data.gap_days=0")
    return Path(shutil.copytree(kept_drift / "run", tmp_path / "run"))


def _ocean() -> Any:
    """Import tests/ocean.py, which pytest's importlib mode puts on no path."""
    spec = importlib.util.spec_from_file_location("ocean", PROJECT / "tests/ocean.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ranks(imported: None, tmp_path: Path) -> Ranks:
    """Do some work in N forked processes, as torchrun starts them: ranks(3, work) returns what each rank gave.

    One process gets no group. What a rank gives holds tensors, numbers and words.
    """
    import torch

    def call(world: int, work: Callable[[], Any]) -> list[Any]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        files = [tmp_path / f"rank{rank}of{world}" for rank in range(world)]
        children = [_start_rank(work, rank, file, port, world) for rank, file in enumerate(files)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert codes == [0] * world, "\n".join(file.with_suffix(".txt").read_text() for file in files)
        return [torch.load(file, weights_only=True) for file in files]

    return call


def _start_rank(work: Callable[[], Any], rank: int, file: Path, port: int, world: int) -> int:
    import torch

    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        log = os.open(file.with_suffix(".txt"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        faulthandler.enable(file=sys.stderr)
        signal.alarm(120)  # a rank that waits for ever
        if world > 1:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"}
            os.environ |= {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
        torch.save(work(), file)
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
