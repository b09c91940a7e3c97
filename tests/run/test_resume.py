"""`execute <sweep folder>`: what it takes and what it refuses, before any job starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.run.job import Job
from segfield.run.sweep import Sweep

Cli = Callable[..., Any]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of one job whose folder holds nothing."""
    folder = tmp_path / "sweep"
    (folder / "0").mkdir(parents=True)
    Sweep(folder).add([Job(0, ["seed=1"], "d", "val/dice", "max", 4, accelerator="auto", devices=2)])
    return folder


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optimizer.lr=1", "optimizer.lr is no placement. What is computed is frozen in each job's config.yaml"),
        ("optimizer.lr=1", "hydra.launcher.jobs, hydra.launcher.retry_failed, hydra.launcher.preload"),
        ("hydra.launcher.job=2", "did you mean hydra.launcher.jobs?"),
        ("hydra.launcher.jobs=0", "hydra.launcher.jobs=0 must be a number of jobs at once, 1 or more."),
        ("hydra.launcher.jobs=many", "hydra.launcher.jobs=many must be a number of jobs"),
        ("hydra.launcher.preload=[", "hydra.launcher.preload=[: the value is no YAML. Write for example"),
        ("hydra.launcher.preload=1", "hydra.launcher.preload=1 must be true or false."),
        ("fast", "Expected key=value after the folder, found 'fast': for example hydra.launcher.jobs=2."),
    ],
)
def test_a_word_that_a_sweep_does_not_take_is_refused_and_nothing_is_written(
    cli: Cli, sweep: Path, word: str, message: str
) -> None:
    outcome = cli("segfield", "execute", sweep, word)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert sorted(path.name for path in sweep.iterdir()) == ["0", "sweep.yaml"]


def test_more_devices_than_there_are_are_told_and_placement_for_every_job_counts(
    cli: Cli, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    outcome = cli("segfield", "execute", sweep, "hydra.launcher.jobs=2")
    assert outcome.code == 2
    assert "hydra.launcher.jobs=2 x trainer.devices=2 needs 4 GPUs, 2 are here" in outcome.err
    for word in ("trainer.devices=1", "trainer.accelerator=cpu"):
        outcome = cli("segfield", "execute", sweep, "hydra.launcher.jobs=2", word)
        assert outcome.code == 1
        assert "0 has no config.yaml. Give the sweep's own command again: it is frozen anew" in outcome.err


def test_a_damaged_sweep_is_refused_before_its_lock_is_written(cli: Cli, sweep: Path) -> None:
    (sweep / "sweep.yaml").write_text("jobs: 3\n")
    outcome = cli("segfield", "execute", sweep)
    assert outcome.code == 2
    assert "lists no jobs" in outcome.err
    assert not (sweep / "lock.json").exists()


def test_a_table_that_cannot_be_written_is_told_and_ends_no_job(
    cli: Cli, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segfield.run.results.write_text", full)
    outcome = cli("segfield", "execute", sweep)
    assert outcome.code == 1
    assert "sweep.csv cannot be written: [Errno 28] No space left on device" in outcome.err
    assert "1 job: 1 failed" in outcome.err
