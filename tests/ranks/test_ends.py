"""Ranks that are killed, hang, raise or are told to stop: what becomes of the run."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
Undisturbed = Callable[[int], Path]


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return found


def ranks_of(folder: Path) -> list[int]:
    """Processes that execute the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(folder).encode() in words and b"execute" in words:
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize(("devices", "rank", "step"), [(2, 0, 5), (3, 2, 4)])
def test_a_run_whose_rank_is_killed_ends_as_if_it_had_not_been(
    lab: Any, tmp_path: Path, undisturbed: Undisturbed, devices: int, rank: int, step: int
) -> None:
    folder = tmp_path / "run"
    ended = lab.train(folder, *lab.on(devices), *lab.mischief("SIGKILL", rank, step))
    assert ended.code == 0, ended.said
    assert f"rank {rank} was killed (SIGKILL)" in ended.said
    assert "all ranks start again from the last checkpoint (restart 1 of 3)" in ended.said
    assert lab.outcome(folder) == lab.outcome(undisturbed(devices))


def test_a_run_that_is_killed_whole_goes_on_and_ends_as_if_it_had_not_been(
    lab: Any, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    folder = tmp_path / "run"
    ended = lab.train(folder, *lab.on(2), *lab.mischief("launcher SIGKILL", 0, 5))
    assert ended.code == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while ranks_of(folder):
        assert time.monotonic() < deadline, "ranks outlive their launcher"
        time.sleep(0.1)
    assert status(folder)["state"] == "running"
    again = lab.execute(folder)
    assert again.code == 0, again.said
    assert "an earlier execution was killed" in again.said
    assert lab.outcome(folder) == lab.outcome(undisturbed(2))


def test_a_signal_to_the_launcher_saves_and_the_run_goes_on_from_there(
    lab: Any, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    folder = tmp_path / "run"
    words = (*lab.mischief("launcher SIGINT", 1, 4), "callbacks.last.every_n_steps=null")
    ended = lab.train(folder, *lab.on(2), *words)
    assert ended.code == 130, ended.said
    assert status(folder)["state"] == "interrupted"
    again = lab.execute(folder)
    assert again.code == 0, again.said
    assert re.search(r"continuing from step [4-9]\b", again.said), "saved in the middle, where the signal came"
    assert lab.outcome(folder) == lab.outcome(undisturbed(2))


def test_a_signal_to_one_rank_saves_on_all(lab: Any, tmp_path: Path, undisturbed: Undisturbed) -> None:
    folder = tmp_path / "run"
    ended = lab.train(folder, *lab.on(2), *lab.mischief("SIGTERM", 1, 4))
    assert ended.code == 143, ended.said
    assert status(folder)["state"] == "interrupted"
    assert lab.execute(folder).code == 0
    assert lab.outcome(folder) == lab.outcome(undisturbed(2))


def test_an_error_of_one_rank_ends_the_run_at_once_and_is_told_with_its_rank(lab: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = lab.train(folder, *lab.on(2), *lab.mischief("raise"))
    assert ended.code == 1
    assert "rank 1 failed: this rank cannot" in ended.said
    assert "restart" not in ended.said
    assert "Traceback" not in ended.said
    assert status(folder)["reason"] == "rank 1 failed: this rank cannot"
    assert "ValueError: this rank cannot" in (folder / "ranks/1.log").read_text()


def test_a_rank_that_is_killed_again_and_again_ends_the_run(lab: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = lab.train(folder, *lab.on(2), *lab.mischief("SIGKILL", once=False), "ranks.max_restarts=1")
    assert ended.code == 1
    assert "after 1 restarts (ranks.max_restarts)" in ended.said
    assert "rank 1 was killed (SIGKILL)" in status(folder)["reason"]


def test_a_rank_that_hangs_is_named_within_the_time_that_is_set(lab: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    start = time.monotonic()
    ended = lab.train(folder, *lab.on(2), *lab.mischief("SIGSTOP"), "ranks.timeout=8")
    assert ended.code == 1
    assert "rank 1 hangs: no sign for 8 s, last seen in training" in ended.said
    assert "ranks.timeout=<seconds>" in status(folder)["reason"]
    assert time.monotonic() - start < 120, "a rank that does not answer is ended by force after 30 s"


def test_a_signal_to_a_run_of_which_a_rank_hangs_ends_it_and_a_second_one_at_once(lab: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ("ranks.timeout=200", f"hydra.run.dir={folder}", "trainer.max_epochs=3000")
    command = [sys.executable, Path(__file__).resolve().parents[2] / "train.py", *lab.tiny, *lab.on(2), *words]
    with subprocess.Popen(command, env=lab.environment) as run:
        deadline = time.monotonic() + 120
        while not (folder / "checkpoints/last.ckpt").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        last = max(ranks_of(folder))
        os.kill(last, signal.SIGSTOP)
        run.send_signal(signal.SIGTERM)
        time.sleep(2)
        assert run.poll() is None, "the ranks may still save"
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == 143
    assert status(folder)["state"] == "interrupted"
    assert ranks_of(folder) == []


def test_pruning_asks_all_ranks_at_once(lab: Any, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    words = ("callbacks=prune", "callbacks.prune.warmup=1", "callbacks.prune.min_siblings=1", "ranks.timeout=30")
    train = Path(__file__).resolve().parents[2] / "train.py"
    values = ("optimizer.lr=1e-2,1e-9", "scheduler=plateau", f"hydra.sweep.dir={sweep}")
    ended = lab.run(train, "-m", *lab.tiny, *lab.on(2), *words, *values)
    assert ended.code == 0, ended.said
    assert [status(sweep / name)["state"] for name in "01"] == ["finished", "pruned"]
