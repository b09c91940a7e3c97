"""Fixtures: the command line by fork, from a parent that has imported everything, and the project's own folders."""

import faulthandler
import os
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


@pytest.fixture(scope="session")
def imported() -> None:
    """Import what every command needs, once, so that a forked command starts in no time."""
    import pytorch_lightning
    import segmentation_models_pytorch  # noqa: F401
    import torch
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
    import traceback

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
