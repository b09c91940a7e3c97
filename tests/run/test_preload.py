"""Jobs forked from one process: the same bits, ended with it. Real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from segfield.run.preload import Forked, Zygote

pytestmark = pytest.mark.slow
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1", "model.width=4", "model.depth=2")


def wait_for(fact: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended(job: Forked) -> int:
    wait_for(lambda: job.poll() is not None)
    code = job.poll()
    assert code is not None
    return code


@pytest.fixture
def zygote(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zygote]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    made = Zygote()
    yield made
    made.close()


@pytest.fixture
def frozen(cli: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """Return new folders with one frozen config, of as many epochs as are wanted."""
    assert cli("train.py", *TINY, "data.num_workers=2", f"hydra.run.dir={tmp_path / 'run'}").code == 0
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())

    def make(name: str, epochs: int = 1) -> Path:
        (tmp_path / name).mkdir()
        config["trainer"]["max_epochs"] = epochs
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(config))
        return tmp_path / name

    return make


def start(zygote: Zygote, folder: Path, **environment: str) -> Forked:
    return zygote.start(["execute", str(folder)], folder, folder / "console.txt", environment)


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return found


def test_forked_jobs_give_the_bits_of_a_program_of_their_own(
    zygote: Zygote, frozen: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [frozen(name, epochs=3) for name in ("a", "b", "own")]
    forked = [start(zygote, folder, MARK="x") for folder in jobs[:2]]
    words = [sys.executable, "-m", "segfield", "execute", str(jobs[2])]
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0
    assert [ended(job) for job in forked] == [0, 0], (jobs[0] / "console.txt").read_text()
    for name in ("trace.csv", "weights.sha256"):
        assert len({(folder / name).read_bytes() for folder in jobs}) == 1
    assert "finished: " in (jobs[0] / "console.txt").read_text()
    (entry,) = yaml.safe_load((jobs[0] / "environment.yaml").read_text())
    assert entry["command"] == "python -m segfield execute '<run folder>'"


def test_exit_codes_and_signals_are_told_and_signals_are_sent_on(zygote: Zygote, frozen: Callable[..., Path]) -> None:
    folders = [frozen(name, epochs=3000) for name in ("saved", "killed")]
    saved, killed = (start(zygote, folder) for folder in folders)
    wrong = start(zygote, folders[0].parent)
    assert ended(wrong) == 2
    for folder in folders:
        wait_for((folder / "checkpoints/last.ckpt").exists)
    saved.send(signal.SIGINT)
    killed.kill()
    assert (ended(saved), ended(killed)) == (130, -9)
    assert [status(folder)["state"] for folder in folders] == ["interrupted", "running"]


def test_a_signal_that_comes_while_a_job_is_forked_reaches_it(zygote: Zygote, frozen: Callable[..., Path]) -> None:
    folders = [frozen(f"early{number}", epochs=3000) for number in range(3)]
    jobs = []
    for folder in folders:  # the zygote still imports: it obeys both requests in one go
        jobs.append(start(zygote, folder))
        jobs[-1].send(signal.SIGINT)
    assert [ended(job) for job in jobs] == [130] * 3


def test_when_the_preloaded_process_is_killed_its_jobs_save_and_end(
    zygote: Zygote, frozen: Callable[..., Path]
) -> None:
    folder = frozen("job", epochs=3000)
    job = start(zygote, folder)
    wait_for((folder / "checkpoints/last.ckpt").exists)
    zygote._process.kill()
    assert ended(job) == -signal.SIGTERM
    assert status(folder)["state"] == "interrupted"
    assert zygote.is_dead()


def test_nothing_touches_a_device_or_starts_a_thread_before_the_fork() -> None:
    code = (
        "import importlib, threading, torch\n"
        "from segfield.run.preload import _MODULES\n"
        "def touched(*_): raise AssertionError('a device was looked for')\n"
        "torch.cuda.device_count = torch.cuda.is_available = torch._C._cuda_getDeviceCount = touched\n"
        "for module in _MODULES: importlib.import_module(module)\n"
        "assert not torch.cuda.is_initialized()\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
