"""The study of a search: which values were tried and what they scored. Knows Optuna, and nothing of Hydra.

A trial is told its score when its job has ended. It ends as COMPLETE, PRUNED (stopped by callbacks=prune) or FAIL: the
job failed, or its score is missing or NaN. One that is left RUNNING is of a search that was killed.
"""

import math
from collections.abc import Callable
from typing import Any, final

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from segfield.run.placement import difference

_DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
_SCORED = (TrialState.COMPLETE, TrialState.PRUNED)
_ELSEWHERE = "Choose another folder: hydra.sweep.dir=<folder>."
_COMMAND, _JOB = "command", "job"  # attributes: of the study, of a trial


@final
class Study:
    """A study in a storage, made where none stands.

    Args:
        storage: its address, as Optuna takes it.
        name: in the storage.
        direction: of the score, max or min.
        space: what is searched, by key.
        config: of the jobs, as far as they share it; placement may change when a search goes on.

    Raises:
        ValueError: if the storage cannot be read, or holds the study of another search.
    """

    def __init__(
        self, storage: str, name: str, direction: str, space: dict[str, BaseDistribution], config: dict[str, Any]
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._study = optuna.create_study(
                storage=storage, study_name=name, direction=_DIRECTIONS[direction], load_if_exists=True
            )
        except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
            raise ValueError(f"{storage} is no study: {str(error).splitlines()[0]} {_ELSEWHERE}") from error
        self._space = space
        self._asked: dict[int, optuna.Trial] = {}
        command = {**config, "search": {"direction": direction, **{key: repr(values) for key, values in space.items()}}}
        before = self._study.user_attrs.get(_COMMAND, command)
        if changed := difference(before, command):
            lines = "\n".join(f"  {key}: {old} there, {new} now" for key, (old, new) in changed.items())
            raise ValueError(f"{storage} is of another search; these differ:\n{lines}\n{_ELSEWHERE}")
        self._study.set_user_attr(_COMMAND, command)

    @property
    def begun(self) -> int:
        """Return how many trials there are, however they ended."""
        return len(self._study.trials)

    @property
    def scored(self) -> int:
        """Return how many have ended with a score."""
        return len(self._study.get_trials(deepcopy=False, states=_SCORED))

    def take(self, sampler: Any) -> None:
        """Let a sampler choose the values."""
        self._study.sampler = sampler

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Begin a trial; return its number, and its values by key."""
        trial = self._study.ask(self._space)
        self._asked[trial.number] = trial
        return trial.number, trial.params

    def assign(self, trial: int, job: int) -> None:
        """Note the number of the folder that a trial's job has, before the job starts."""
        self._asked[trial].set_user_attr(_JOB, job)

    def tell(self, trial: int, state: str, score: Any) -> bool:
        """End a trial with its job's state and score; tell whether it has one."""
        if state == "finished" and isinstance(score, int | float) and math.isfinite(score):
            self._study.tell(trial, float(score))
            return True
        self._study.tell(trial, state=TrialState.PRUNED if state == "pruned" else TrialState.FAIL)
        return state == "pruned"

    def jobs_left(self) -> list[int]:
        """Return the jobs of the trials that an earlier search has left."""
        left = (trial.user_attrs.get(_JOB) for trial in self._study.get_trials(states=(TrialState.RUNNING,)))
        return [job for job in left if isinstance(job, int)]

    def settle(self, outcome: Callable[[int], tuple[str, Any]]) -> None:
        """End the trials that an earlier search has left: with their score where their job had ended, else as failed.

        Args:
            outcome: returns a job's state and score.
        """
        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            job = trial.user_attrs.get(_JOB)
            self.tell(trial.number, *(outcome(job) if isinstance(job, int) else ("killed", None)))

    def counted(self) -> str:
        """Return how many of them ended with a score, and how many were pruned."""
        complete, pruned = (len(self._study.get_trials(deepcopy=False, states=(state,))) for state in _SCORED)
        return f"{complete} with a score and {pruned} pruned"

    def summary(self) -> dict[str, Any]:
        """Return the best trial's score, values and job, and how many trials ended how; plain values."""
        states = [trial.state for trial in self._study.get_trials(deepcopy=False)]
        counts = {state.name.lower(): states.count(state) for state in dict.fromkeys(states)}
        found: dict[str, Any] = {"name": "optuna", "best_params": None, "best_value": None, "best_job": None}
        if TrialState.COMPLETE in states:
            best = self._study.best_trial
            found |= {"best_params": best.params, "best_value": best.value, "best_job": best.user_attrs[_JOB]}
        return {**found, "trials": counts}
