"""Studies in real files of SQLite."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs Optuna: pip install -e '.[sweep]'")

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution

from segfield.run.study import Study

SPACE = {"optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True), "model.width": CategoricalDistribution((4, 8))}
CONFIG = {"seed": 0, "threads": 1, "trainer": {"devices": 1, "max_epochs": 3}}


def opened(folder: Path, direction: str = "max", space: Any = None, **changes: Any) -> Study:
    return Study(f"sqlite:///{folder / 'study.db'}", "search", direction, space or SPACE, {**CONFIG, **changes})


def begun(study: Study, job: int) -> int:
    trial, values = study.ask()
    assert set(values) == set(SPACE)
    study.assign(trial, job)
    return trial


@pytest.mark.parametrize(("direction", "best"), [("max", 1), ("min", 0)])
def test_the_best_trial_is_named_with_its_values_and_its_job(tmp_path: Path, direction: str, best: int) -> None:
    study = opened(tmp_path, direction)
    for score in range(2):
        assert study.tell(begun(study, 7 + score), "finished", 0.25 + score)
    found = study.summary()
    assert (found["best_value"], found["best_job"]) == (0.25 + best, 7 + best)
    assert set(found["best_params"]) == set(SPACE)
    assert found["trials"] == {"complete": 2}


@pytest.mark.parametrize(
    ("state", "score"),
    [
        ("failed", 0.5),
        ("killed", None),
        ("finished", None),
        ("finished", float("nan")),
        ("finished", float("inf")),
        ("finished", "nan"),
    ],
)
def test_a_job_without_a_score_is_recorded_as_failed(tmp_path: Path, state: str, score: Any) -> None:
    study = opened(tmp_path)
    assert not study.tell(begun(study, 0), state, score)
    assert study.summary() == {
        **{"name": "optuna", "best_params": None, "best_value": None, "best_job": None},
        "trials": {"fail": 1},
    }
    assert (study.begun, study.scored) == (1, 0)


def test_a_pruned_job_counts_as_one_with_a_score(tmp_path: Path) -> None:
    study = opened(tmp_path)
    assert study.tell(begun(study, 0), "pruned", 0.5)
    assert (study.begun, study.scored) == (1, 1)
    assert study.summary()["trials"] == {"pruned": 1}


def test_what_a_killed_search_has_left_is_settled_by_its_jobs(tmp_path: Path) -> None:
    first = opened(tmp_path)
    for job in (3, 4, 5):
        begun(first, job)
    first.ask()  # killed before it had a job
    outcomes = {3: ("finished", 0.75), 4: ("killed", 0.5), 5: ("pruned", 0.25)}
    again = opened(tmp_path)
    again.settle(lambda job: outcomes[job])
    assert again.summary()["trials"] == {"complete": 1, "fail": 2, "pruned": 1}
    assert again.summary()["best_job"] == 3
    again.settle(lambda job: pytest.fail("nothing is left"))


def test_a_study_of_another_search_is_refused_with_what_differs(tmp_path: Path) -> None:
    opened(tmp_path)
    narrow = {**SPACE, "optimizer.lr": FloatDistribution(1e-4, 1e-3)}
    with pytest.raises(ValueError, match=r"is of another search; these differ:\n") as raised:
        opened(tmp_path, "min", narrow, seed=1)
    text = str(raised.value)
    assert "  seed: 0 there, 1 now\n" in text
    assert "  search.direction: max there, min now\n" in text
    assert "  search.optimizer.lr: FloatDistribution(high=0.01, " in text
    assert text.endswith("Choose another folder: hydra.sweep.dir=<folder>.")


def test_placement_may_change_when_a_search_goes_on(tmp_path: Path) -> None:
    opened(tmp_path).ask()
    again = opened(tmp_path, threads=4, trainer={"devices": 2, "max_epochs": 3})
    assert again.begun == 1, "the same study"


def test_a_damaged_study_is_told_and_kept(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("no database" * 100)
    with pytest.raises(ValueError, match=r"study\.db is no study: .*Choose another folder: hydra\.sweep\.dir"):
        opened(tmp_path)
    assert (tmp_path / "study.db").read_text().startswith("no database")


def test_a_sampler_chooses_the_values(tmp_path: Path) -> None:
    values = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        study = opened(tmp_path / name)
        study.take(optuna.samplers.RandomSampler(seed=5))
        values.append([study.ask()[1] for _ in range(3)])
    assert values[0] == values[1]
