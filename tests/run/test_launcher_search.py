"""Batches of a search, with a sweeper that is not Hydra's grid. Jobs are forks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.run.sweep import Sweep

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs Optuna: pip install -e '.[sweep]'")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_jobs")]
Cli = Callable[..., Any]
SEARCH = (
    *("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1", "model.width=4", "model.depth=2"),
    *("hydra/sweeper=optuna", "hydra.sweeper.n_jobs=2"),
)


def test_a_search_numbers_its_jobs_on_from_the_highest_folder_and_runs_no_config_twice(
    cli: Cli, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    (sweep / "4").mkdir(parents=True)
    words = ("model.norm=choice(batch)", f"hydra.sweep.dir={sweep}", "optimizer.lr=choice(1e-3)")
    outcome = cli("train.py", "-m", *SEARCH, *words, "hydra.sweeper.n_trials=4")
    assert outcome.code == 0, outcome.err
    jobs = Sweep(sweep).jobs
    assert {number: job.same_as for number, job in jobs.items()} == {5: None, 6: 5, 7: 5, 8: 5}
    assert "job 8 is job 5 again: not run" in outcome.err

    again = cli("train.py", "-m", *SEARCH, *words, "hydra.sweeper.n_trials=8")
    assert again.code == 0, again.err
    assert list(Sweep(sweep).jobs) == [5, 6, 7, 8, 9, 10, 11, 12]
    assert " started: " not in again.err
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == ["4", "5"]


def test_a_job_of_a_search_without_a_score_is_a_failed_trial(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segfield.run.job.Row.best", None)
    outcome = cli(
        *("train.py", "-m", *SEARCH, "hydra.sweeper.n_trials=1", "optimizer.lr=choice(1e-3)"),
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    )
    assert outcome.code != 0
    assert "job 0 finished without a score: val/dice was not logged, or is no number in " in outcome.err
