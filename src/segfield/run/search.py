"""Search: Optuna chooses the values of the next jobs from what the jobs before have scored.

Hydra's Optuna plugin reads the command line and knows the samplers. Its loop is not used: it asks for the direction
again, ends at the first job that fails, and counts trials and folders from 0 when it is started again.
"""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import yaml
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from segfield.files import write_text
from segfield.run.launcher import JobError, ProcessesLauncher
from segfield.run.lock import alive, locked
from segfield.run.status import shown
from segfield.run.sweep import Sweep

if TYPE_CHECKING:
    from segfield.run.study import Study

SAMPLERS = ("optuna.samplers.RandomSampler", "optuna.samplers.TPESampler")  # exact names, as in whitelist.py
RESULTS = "optimization_results.yaml"  # the plugin's own name
STUDY = "study.db"
_RECORD = "multirun.yaml"  # Hydra's, as its own sweeper writes it
_EXAMPLE = "For example 'optimizer.lr=tag(log,interval(1e-4,1e-2))' or 'model.width=choice(8,16)'."


@final
class OptunaSearch(Sweeper):
    """Ask Optuna for values, launch jobs with them, tell it their scores; the study stands in the sweep's folder.

    Args:
        sampler: how values are chosen, a class of SAMPLERS.
        direction: "max" or "min", of the task's monitored score.
        storage: of the study, an address that Optuna knows; None: SQLite in the sweep's folder.
        study_name: in the storage.
        n_trials: that have ended with a score when the search is over, those of earlier executions included.
        n_jobs: launched at once; the next ones know all their scores.
        max_failure_rate: share of this execution's trials that may fail before the search is given up.
        params: search space by key, beside what the command line gives.

    Raises:
        ValueError: if a value cannot be.
    """

    def __init__(
        self,
        sampler: DictConfig,
        direction: str,
        storage: str | None,
        study_name: str,
        n_trials: int,
        n_jobs: int,
        max_failure_rate: float,
        params: DictConfig | None,
    ) -> None:
        try:
            import hydra_plugins.hydra_optuna_sweeper._impl  # noqa: F401, with Optuna itself
        except ImportError as error:
            raise ValueError("hydra/sweeper=optuna needs Optuna. Type: pip install -e '.[sweep]'") from error
        if direction not in ("max", "min"):
            raise ValueError(
                f"hydra.sweeper.direction={direction} must be max or min. Leave it out: the task knows it."
            )
        for name, value in (("n_trials", n_trials), ("n_jobs", n_jobs)):
            if type(value) is not int or value < 1:
                raise ValueError(f"hydra.sweeper.{name}={value} must be 1 or more. Use hydra.sweeper.{name}=1.")
        if not isinstance(max_failure_rate, int | float) or not 0 <= max_failure_rate <= 1:
            text = f"hydra.sweeper.max_failure_rate={max_failure_rate} must be from 0 to 1"
            raise ValueError(f"{text}. Use hydra.sweeper.max_failure_rate=1.0.")
        chosen: Any = OmegaConf.to_container(sampler, resolve=True)
        if (target := chosen.get("_target_")) not in SAMPLERS:
            raise ValueError(
                f"hydra.sweeper.sampler._target_={target} is not allowed: a search takes one of {', '.join(SAMPLERS)}. "
                "Use hydra/sweeper/sampler=tpe or random."
            )
        self._sampler: dict[str, Any] = chosen
        self._direction, self._storage, self._name = direction, storage, study_name
        self._n_trials, self._n_jobs, self._max_failure_rate = n_trials, n_jobs, max_failure_rate
        self._params = [f"{name}={value}" for name, value in (params or {}).items()]  # type: ignore[str-bytes-safe]
        self._config = DictConfig({})
        self._launcher: Any = None
        self._folder = Path()
        self._first = self._launched = 0

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        self._config, self._folder = config, Path(str(config.hydra.sweep.dir)).absolute()
        self._launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        """Search until n_trials have a score.

        Raises:
            ValueError: if there is nothing to search, or the folder is in use or holds another search.
            JobError: if too many jobs failed, or all of them.
            SystemExit: of the launcher.
        """
        space, fixed = _space([*self._params, *arguments])
        subdir = OmegaConf.to_container(self._config.hydra.sweep)["subdir"]  # type: ignore[call-overload,index]
        if subdir != "${hydra.job.num}":
            raise ValueError("hydra.sweep.subdir cannot be set: a trial's folder is the number of its job.")
        if alive(self._folder):
            raise ValueError(
                f"{self._folder}: another process runs this sweep. Choose hydra.sweep.dir=<another folder>."
            )
        new = not (self._folder / STUDY).exists()
        self._folder.mkdir(parents=True, exist_ok=True)
        with contextlib.nullcontext() if self._ours else locked(self._folder):
            self._first = Sweep(self._folder).highest() + 1
            try:
                study = self._opened(space)
                OmegaConf.save(self._config, self._folder / _RECORD)
                self._search(study, fixed)
            except BaseException:
                if new and Sweep(self._folder).highest() < 0:  # nothing was begun, so nothing is left
                    (self._folder / STUDY).unlink(missing_ok=True)
                raise
            self._conclude(study)

    @property
    def _ours(self) -> bool:
        """Tell whether the launcher is ours, which locks the folder, and numbers on by itself."""
        return isinstance(self._launcher, ProcessesLauncher)

    def _opened(self, space: dict[str, Any]) -> "Study":
        """Open the study, let the jobs end that an earlier search has left, tell it of them, and say how far it is."""
        from segfield.run.study import Study

        task = OmegaConf.masked_copy(self._config, [str(key) for key in self._config if key != "hydra"])
        config: Any = OmegaConf.to_container(task)
        # Not in the YAML: there ${hydra.sweep.dir} would be of another microsecond.
        storage = self._storage or f"sqlite:///{self._folder / STUDY}"
        study = Study(storage, self._name, self._direction, space, config)
        if self._ours and (left := study.jobs_left()):
            self._launcher.go_on(left)
        study.settle(lambda job: self._outcome(self._folder / str(job)))
        sampler = dict(self._sampler)
        if sampler.get("seed") is not None:
            sampler["seed"] += study.begun  # a search that goes on does not draw the same values again
        study.take(instantiate(sampler, _execution_whitelist_=list(SAMPLERS)))
        sys.stderr.write(f"{study.scored} of {self._n_trials} trials are done, {study.counted()}: {storage}\n")
        return study

    def _search(self, study: "Study", fixed: list[str]) -> None:
        left, told, failed = self._n_trials - study.scored, 0, 0
        while left > 0:
            asked = (study.ask() for _ in range(min(left, self._n_jobs)))
            trials = {trial: [*(f"{key}={value}" for key, value in values.items()), *fixed] for trial, values in asked}
            for trial, folder in self._launch(study, trials):
                outcome = self._outcome(folder) if folder else ("failed", None)
                failed += not study.tell(trial, *outcome)
            left, told = left - len(trials), told + len(trials)
            if failed / told > self._max_failure_rate:
                why = f"{failed} of {told} trials failed, more than hydra.sweeper.max_failure_rate allows"
                raise _said(f"{why}: {self._folder}")

    def _launch(self, study: "Study", trials: dict[int, list[str]]) -> list[tuple[int, Path | None]]:
        """Launch jobs; return each trial with its job's folder, None where its values cannot be or it has no score."""
        job = self._first + self._launched
        for place, trial in enumerate(trials):
            study.assign(trial, job + place)
        folders: list[Path | None] = [self._folder / str(job + place) for place in range(len(trials))]
        try:
            found = self._launcher.launch(list(trials.values()), self._launched if self._ours else job)
        except SystemExit as stop:
            if stop.code != 2 or not study.scored:
                raise
            if len(trials) == 1:
                return [(trial, None) for trial in trials]
            return [pair for trial, words in trials.items() for pair in self._launch(study, {trial: words})]
        except Exception as error:  # of a cluster, whose worker is gone
            if self._ours or not any(folder and folder.exists() for folder in folders):
                raise
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        else:
            if self._ours:
                folders = [Path(it.working_dir) if it.status is JobStatus.COMPLETED else None for it in found]
        self._launched += len(trials)
        return list(zip(trials, folders, strict=True))

    def _outcome(self, folder: Path) -> tuple[str, Any]:
        """Return a job's state and its best monitored score."""
        status = shown(folder)
        return status["state"], (status.get("best") or {}).get(self._config.task.monitor)

    def _conclude(self, study: "Study") -> None:
        summary = study.summary()
        write_text(self._folder / RESULTS, yaml.safe_dump(summary, sort_keys=False))
        counts = ", ".join(f"{count} {state}" for state, count in summary["trials"].items())
        if summary["best_params"] is None:
            raise _said(f"no trial ran to its end with a score ({counts}): {self._folder}")
        sys.stderr.write(f"{study.begun} trials: {counts}; {self._folder / RESULTS}\n")
        values = " ".join(f"{key}={value}" for key, value in summary["best_params"].items())
        score = f"{self._config.task.monitor} {summary['best_value']:.6g}"
        sys.stderr.write(f"best: {score}, job {summary['best_job']}: {values}\n")


def _said(text: str) -> JobError:
    sys.stderr.write(f"{text}\n")
    return JobError(text)


def _space(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return what is searched, as Optuna's distributions by key, and the overrides that all jobs share."""
    from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides

    space: dict[str, Any] = {}
    fixed: dict[str, str] = {}
    for word in words:
        try:
            searched, given, removed = create_params_from_overrides([word])
        except (ValueError, AssertionError, NotImplementedError) as error:
            reason = str(error) or "a search takes interval, range, choice and lists"
            raise ValueError(f"{word}: {reason}. {_EXAMPLE}") from error
        space |= searched
        fixed |= {**given, **dict.fromkeys(removed, "")}
    space = {key: values for key, values in space.items() if key not in fixed}  # one that is given is not searched
    if not space:
        raise ValueError(f"There is nothing to search. {_EXAMPLE}")
    return space, [key if key.startswith("~") else f"{key}={value}" for key, value in fixed.items()]
