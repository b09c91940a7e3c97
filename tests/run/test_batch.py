"""The process that plans: what it does not survive is told."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1", "model.width=4")


def test_the_signal_that_ends_the_planning_is_told(cli: Cli, outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segfield.run.batch._Work.plan", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    outcome = cli("train.py", "-m", *TINY, "seed=1,2")
    assert outcome.code == 2
    assert outcome.err == (
        "This sweep cannot start:\n"
        "- the process that plans it ended by signal 9 (out of memory?). Give the same command again.\n"
    )
    assert not list(outputs.rglob("config.yaml"))


def test_ctrl_c_while_jobs_are_planned_ends_with_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("segfield.run.batch._Work.plan", interrupted)
    outcome = cli("train.py", "-m", *TINY, "seed=1,2")
    assert outcome.code == 130
    assert outcome.err == "interrupted before the jobs were frozen\n"


def test_a_full_disk_while_jobs_are_frozen_is_told_and_none_is_run(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "config.yaml")

    monkeypatch.setattr("segfield.run.freeze.write_new", full)
    outcome = cli("train.py", "-m", *TINY, "seed=1,2")
    assert outcome.code == 2
    assert "This sweep cannot start:\n- config.yaml: No space left on device." in outcome.err
    assert "No job was run. Mend this and give the same command again." in outcome.err


def test_a_job_that_is_the_same_as_a_wrong_one_is_wrong_too(cli: Cli) -> None:
    outcome = cli("train.py", "-m", *TINY, "optimizer.lr=-1", "data.num_workers=0,1")
    assert outcome.code == 2
    assert outcome.err.count("of this sweep cannot start:\n- optimizer: Invalid learning rate: -1") == 2
