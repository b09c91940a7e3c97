"""hydra/sweeper=optuna: with a stand-in for the launcher, and as a user types it, also after kill -9."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs Optuna: pip install -e '.[sweep]'")

import optuna

from segfield.run import compose as composing
from segfield.run.launcher import JobError
from segfield.run.search import OptunaSearch

Cli = Callable[..., Any]
PROJECT = Path(__file__).resolve().parents[2]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1")
SEARCH = ("train.py", "-m", "hydra/sweeper=optuna")
SPACE = ("optimizer.lr=tag(log,interval(1e-4,1e-2))", "model.width=choice(4,8)")


class Jobs:
    """A launcher of another kind: writes each job's status, or raises."""

    def __init__(self, folder: Path, *outcomes: Any) -> None:
        self.folder, self.outcomes = folder, list(outcomes)
        self.batches: list[tuple[int, list[Sequence[str]]]] = []

    def launch(self, words: list[Sequence[str]], first: int) -> list[Any]:
        self.batches.append((first, words))
        for job, _ in enumerate(words, first):
            outcome = self.outcomes.pop(0) if self.outcomes else 0.5
            if isinstance(outcome, BaseException):
                raise outcome
            (self.folder / str(job)).mkdir()
            state = outcome if isinstance(outcome, str) else "finished"
            best = {} if outcome is None else {"val/dice": 0.25 if isinstance(outcome, str) else outcome}
            (self.folder / f"{job}/status.json").write_text(json.dumps({"state": state, "best": best}))
        return [SimpleNamespace() for _ in words]


def search(folder: Path, *outcomes: Any, words: Sequence[str] = SPACE, **settings: Any) -> Jobs:
    """Search as Hydra does, with another launcher; return it."""
    composing.register()
    typed = [f"hydra.sweeper.{name}={value}" for name, value in settings.items()]
    fixed = [word for word in words if "interval" not in word and "choice" not in word]
    where = f"hydra.sweep.dir={folder}"
    with initialize_config_dir(str(PROJECT / "conf")):
        words_of_hydra = ["hydra/sweeper=optuna", where, *typed]
        config = compose("train", [*words_of_hydra, *fixed], return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    sweeper: Any = Plugins.instance()._instantiate(config.hydra.sweeper)
    assert isinstance(sweeper, OptunaSearch)
    sweeper._config, sweeper._folder, sweeper._launcher = config, folder, (jobs := Jobs(folder, *outcomes))
    sweeper.sweep(list(words))
    return jobs


def results(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    return content


def test_jobs_come_in_batches_with_the_values_that_optuna_has_chosen(tmp_path: Path) -> None:
    jobs = search(tmp_path, 0.25, 0.75, words=[*SPACE, "data.length=10", "~logger"], n_trials=5, n_jobs=2)
    assert [(first, len(words)) for first, words in jobs.batches] == [(0, 2), (2, 2), (4, 1)]
    for _, batch in jobs.batches:
        for words in batch:
            assert re.fullmatch(r"optimizer\.lr=[\d.e-]+ model\.width=[48] data\.length=10 ~logger", " ".join(words))
    assert (results(tmp_path)["best_value"], results(tmp_path)["best_job"]) == (0.75, 1)
    assert (tmp_path / "multirun.yaml").exists()


def test_the_direction_is_the_tasks(tmp_path: Path) -> None:
    search(tmp_path, 0.25, 0.75, words=[*SPACE, "task.mode=min"], n_trials=2)
    assert results(tmp_path)["best_value"] == 0.25


def test_an_experiment_can_hold_the_search_space_and_a_typed_value_is_not_searched(tmp_path: Path) -> None:
    space = "{optimizer.lr:'interval(1e-3,1e-2)',model.width:'choice(4,8)'}"
    jobs = search(tmp_path, words=["model.width=16"], n_trials=1, params=space)
    assert re.fullmatch(r"optimizer\.lr=0\.00\d+ model\.width=16", " ".join(jobs.batches[0][1][0]))


def test_n_trials_counts_scores_and_a_search_goes_on_behind_its_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = search(tmp_path, 0.25, "failed", None, "pruned", float("nan"), n_trials=5)
    assert results(tmp_path)["trials"] == {"complete": 1, "fail": 3, "pruned": 1}
    again = search(tmp_path, n_trials=5)
    assert [number for number, _ in again.batches] == [5, 6, 7]
    values = {words[0] for jobs in (first, again) for _, (words,) in jobs.batches}
    assert len(values) == 8, "a sampler that is made again draws other values"
    capsys.readouterr()
    assert search(tmp_path, n_trials=5).batches == []
    assert capsys.readouterr().err.startswith("5 of 5 trials are done, 4 with a score and 1 pruned: sqlite:///")


@pytest.mark.parametrize(
    ("outcomes", "rate", "message"),
    [
        (["failed"] * 3, 1.0, r"^no trial ran to its end with a score \(3 fail\)"),
        ([0.5, "failed", 0.5], 0.4, r"^1 of 2 trials failed, more than hydra\.sweeper\.max_failure_rate allows"),
    ],
)
def test_a_search_ends_with_an_error_where_too_many_jobs_failed(
    tmp_path: Path, outcomes: list[Any], rate: float, message: str
) -> None:
    with pytest.raises(JobError, match=message):
        search(tmp_path, *outcomes, n_trials=3, max_failure_rate=rate)


def test_values_that_check_refuses_are_a_failed_trial_of_their_own(tmp_path: Path) -> None:
    jobs = search(tmp_path, 0.5, 0.5, SystemExit(2), 0.75, SystemExit(2), n_trials=4, n_jobs=2)
    assert [(first, len(words)) for first, words in jobs.batches] == [(0, 2), (2, 2), (2, 1), (3, 1)]
    assert results(tmp_path)["trials"] == {"complete": 3, "fail": 1}
    assert results(tmp_path)["best_job"] == 2


def test_a_search_whose_first_jobs_are_refused_starts_nothing_and_leaves_no_study(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        search(tmp_path, SystemExit(2), n_jobs=2)
    assert not (tmp_path / "study.db").exists()


def test_an_error_of_a_cluster_is_fatal_only_where_no_job_has_begun(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        search(tmp_path / "a", ConnectionError("no queue"))
    search(tmp_path / "b", 0.5, RuntimeError("its worker is gone"), n_trials=2, n_jobs=2)
    assert results(tmp_path / "b")["trials"] == {"complete": 1, "fail": 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hydra.sweeper.n_trials=0", *SPACE], r"hydra\.sweeper\.n_trials=0 must be 1 or more\. Use .*n_trials=1"),
        (["hydra.sweeper.n_jobs=x", *SPACE], r"hydra\.sweeper\.n_jobs=x must be 1 or more"),
        (["hydra.sweeper.max_failure_rate=2", *SPACE], r"max_failure_rate=2 must be from 0 to 1\. Use .*=1\.0"),
        (["hydra.sweeper.direction=up", *SPACE], r"direction=up must be max or min\. Leave it out: the task knows it"),
        (["hydra.sweep.subdir=x", *SPACE], r"hydra\.sweep\.subdir cannot be set"),
        (["model.width=8"], r"There is nothing to search\. For example 'optimizer\.lr=tag\(log,interval"),
        (["model=glob(*)"], r"model=glob\(\*\): a search takes interval, range, choice and lists\. For example"),
        (["optimizer.lr=tag(log,interval(0,1))"], r"optimizer\.lr=tag\(log,interval\(0,1\)\): .*For example"),
        (["optimizer.lr=interval(1"], r"'optimizer\.lr=interval\(1' is no override"),
        (["optimizer.lr=interval(-2,-1)"], r"Invalid learning rate: -1"),
        (["hydra/sweeper/sampler=cmaes", *SPACE], r"optuna\.samplers\.CmaEsSampler is not allowed: .*sampler=tpe or"),
        (["hydra.sweeper.sampler._target_=os.getcwd", *SPACE], r"os\.getcwd is not allowed"),
        (["+hydra.sweeper.sampler.constraints_func._target_=os.getcwd", *SPACE], r"os\.getcwd.* not .*whitelist"),
        (["+hydra.callbacks.x._target_=os.getcwd", *SPACE], r"'os\.getcwd' is not in the Hydra execution whitelist"),
        (["hydra.sweeper._target_=os.getcwd", *SPACE], r"os\.getcwd is no launcher or sweeper of Hydra's\. Use hydra/"),
    ],
)
def test_a_search_that_cannot_start_says_why_and_leaves_nothing(
    cli: Cli, outputs: Path, words: list[str], message: str
) -> None:
    outcome = cli(*SEARCH, *TINY, *words)
    assert outcome.code == 2, outcome.err
    assert re.search(message, outcome.err), outcome.err
    assert "Traceback" not in outcome.err
    # Hydra's record and the lock go when the launcher's process ends, which a fork does not do in the usual way.
    assert {path.name for path in outputs.rglob("*") if path.is_file()} <= {"multirun.yaml", "lock.json"}


def test_without_the_extra_the_error_says_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hydra_plugins.hydra_optuna_sweeper._impl", None)
    outcome = cli(*SEARCH, *TINY, *SPACE)
    assert outcome.code == 2
    assert "hydra/sweeper=optuna needs Optuna. Type: pip install -e '.[sweep]'" in outcome.err


@pytest.mark.slow
def test_a_real_search_survives_kill_9_and_does_the_rest(cli: Cli, tmp_path: Path) -> None:
    words = [*TINY, *SPACE, "trainer.max_epochs=3", f"hydra.sweep.dir={tmp_path / 's'}", "hydra.launcher.jobs=2"]
    command = [sys.executable, PROJECT / SEARCH[0], *SEARCH[1:], *words, "hydra.sweeper.n_trials=5"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as first:
        deadline = time.monotonic() + 120
        while not (tmp_path / "s/2/status.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(first.pid, signal.SIGKILL)
    outcome = cli(*SEARCH, *words, "hydra.sweeper.n_trials=5")
    assert outcome.code == 0, outcome.err
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path / 's/study.db'}")
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE"] * 5, "the jobs that the kill cut off went on first"
    for trial in study.trials:
        folder = tmp_path / "s" / str(trial.user_attrs["job"])
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["optimizer"]["lr"] == pytest.approx(trial.params["optimizer.lr"])
        if trial.state.name == "COMPLETE":
            assert trial.value == json.loads((folder / "status.json").read_text())["best"]["val/dice"]
    before = {path: path.read_bytes() for path in (tmp_path / "s").glob("*/trace.csv")}
    again = cli(*SEARCH, *words, "hydra.sweeper.n_trials=5")
    assert again.code == 0
    assert "5 of 5 trials are done, 5 with a score and 0 pruned" in again.err
    assert {path: path.read_bytes() for path in (tmp_path / "s").glob("*/trace.csv")} == before


@pytest.mark.slow
def test_a_job_that_dies_is_a_failed_trial_and_all_of_them_an_error(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os, signal\n"
        "from pytorch_lightning.callbacks import Callback\n"
        "class Die(Callback):\n"
        "    def __init__(self, above):\n"
        "        self.above = above\n"
        "    def on_train_start(self, trainer, pl_module):\n"
        "        if trainer.optimizers[0].param_groups[0]['lr'] > self.above:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{PROJECT / 'src'}")
    monkeypatch.setenv("SEGFIELD_ALLOW", "deadly.Die")
    words = [*TINY, "optimizer.lr=choice(1e-3,1e-2)", "+callbacks.die._target_=deadly.Die", "hydra.sweeper.n_trials=3"]
    some = cli(*SEARCH, *words, "+callbacks.die.above=5e-3", "seed=1", f"hydra.sweep.dir={tmp_path / 'some'}")
    assert some.code == 0, some.err
    assert set(results(tmp_path / "some")["trials"]) == {"complete", "fail"}
    assert results(tmp_path / "some")["best_params"] == {"optimizer.lr": 0.001}
    none = cli(*SEARCH, *words, "+callbacks.die.above=0", f"hydra.sweep.dir={tmp_path / 'none'}")
    assert none.code == 1
    assert "no trial ran to its end with a score (3 fail)" in none.err
