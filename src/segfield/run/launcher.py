"""Hydra's side of a sweep: plans each batch of jobs, has it run, and gives Hydra's sweeper the scores.

So later edits of conf/ do not leak into a running sweep, and a crash, an OOM kill or a leak ends one job only.
"""

import atexit
import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from segfield.files import write_text
from segfield.run import batch
from segfield.run.check import announce
from segfield.run.execute_sweep import Execution, Settings, Starter
from segfield.run.grid import count
from segfield.run.job import Row
from segfield.run.lock import NAME as LOCK
from segfield.run.lock import LockedError, locked
from segfield.run.results import told
from segfield.run.status import ENDED
from segfield.run.sweep import NAME, Sweep
from segfield.run.table import tell

_GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
_RECORD = "multirun.yaml"  # Hydra writes it before it calls launch


class JobError(CompactHydraException):
    """A job of a sweep ended without a result; the others ran."""


@final
class ProcessesLauncher(Launcher):
    """One child process per job: `python -m segfield execute <folder>`.

    Args:
        jobs: at once.
        retry_failed: run those again that failed in an earlier execution of the sweep.
        max_jobs: of a grid.
        preload: fork each job from one process that has imported everything.
    """

    def __init__(self, jobs: int = 1, retry_failed: bool = False, max_jobs: int = 1000, preload: bool = False) -> None:
        self._settings = Settings(jobs, retry_failed, preload)
        self._max_jobs = max_jobs
        self._config = DictConfig({})
        self._load: Callable[..., DictConfig] | None = None
        self._sweep: Sweep | None = None
        self._total: int | None = None  # jobs of a grid; a search has no such number
        self._first = 0  # number of the first job
        self._planner: batch.Planner | None = None
        self._starter = Starter(preload=preload)
        self._frozen = False
        self._held = contextlib.ExitStack()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Count the jobs before anything is composed or written; the task function itself runs in no job.

        Raises:
            SystemExit: 2 for a grid without jobs or with too many, or a setting that cannot be.
        """
        self._config = config
        # Hydra's sweepers compose each job to see whether that can be done, and stop at the first that cannot; planning
        # composes each job too and tells of all: twice would cost 50 ms a job, and memory of this process.
        loader: Any = hydra_context.config_loader
        self._load, loader.load_sweep_config = loader.load_sweep_config, lambda *_, **__: None
        if config.hydra.sweeper.get("_target_") == _GRID:
            words = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
            parser = OverridesParser.create(config_loader=hydra_context.config_loader)
            self._total = count(parser.parse_overrides([*words, *config.hydra.overrides.task]))
        if announce([*self._settings.problems(), *self._misfits()], batch.HEADER):
            sys.exit(2)
        record = Path(config.hydra.sweep.dir).absolute() / _RECORD
        before = record.read_text() if record.exists() else None
        atexit.register(self._leave, record, before, had_lock=record.with_name(LOCK).exists())

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Check all jobs of a batch, freeze all, then run them; where one is wrong none is frozen.

        Returns:
            One JobReturn per job, in order; with the best value of the monitored score. Of a grid, that of a job that
            did not end well is None: Hydra would leave out the batches that follow.

        Raises:
            SystemExit: 2 where a job is wrong or another process runs this sweep, 130 or 143 after a signal.
            JobError: after the last batch of a grid, if a job of the sweep has not ended well.
        """
        setup_globals()
        sweep = self._opened()
        # Hydra's sweeper writes ~key as ~key=null, which deletes a null alone.
        words_of = [[w.removesuffix("=null") if w[:1] == "~" else w for w in words] for words in job_overrides]
        numbers = [self._first + initial_job_idx + place for place, _ in enumerate(job_overrides)]
        last = self._total is not None and initial_job_idx + len(numbers) >= self._total
        self._planner = self._planner or batch.Planner(self._compose, sweep, self._settings)
        plan = self._planner.plan(dict(zip(numbers, words_of, strict=True)))
        if last:
            self._planner.close()  # and what it has imported
        self._frozen = True
        sweep.add(plan.jobs)
        tell(f"{len(plan.jobs)} job{'' if len(plan.jobs) == 1 else 's'} frozen in {sweep.folder}")
        execution = Execution(sweep, self._settings, lambda number: plan.words.get(number, []), self._starter)
        execution.run(numbers)
        rows = [execution.rows[number] for number in numbers]
        if last:
            for line in told(list(execution.rows.values()), sweep.folder):
                tell(line)
            if not execution.ended_well(sweep.jobs):
                raise JobError(f"{sweep.folder} has jobs that did not end well")
        return [
            self._returned(words, row, search=self._total is None)
            for words, row in zip(job_overrides, rows, strict=True)
        ]

    def go_on(self, numbers: Sequence[int]) -> None:
        """Run those of the jobs that are frozen in the sweep's folder and have not ended.

        Raises:
            SystemExit: as launch().
        """
        sweep = self._opened()
        self._frozen = True
        Execution(sweep, self._settings, lambda _: [], self._starter).run([n for n in numbers if n in sweep.jobs])

    def _misfits(self) -> list[str]:
        found = []
        if type(self._max_jobs) is not int or self._max_jobs < 1:
            found.append(f"hydra.launcher.max_jobs={self._max_jobs} must be a number of jobs, 1 or more.")
        elif self._total == 0:
            found.append("0 jobs: one of the lists or ranges is empty. range(3) is 0,1,2; range(1,3) is 1,2.")
        elif self._total is not None and self._total > self._max_jobs:
            found.append(
                f"{self._total} jobs are more than hydra.launcher.max_jobs={self._max_jobs}. Sweep over less, or allow "
                f"them with hydra.launcher.max_jobs={self._total}."
            )
        raw: Any = OmegaConf.to_container(self._config.hydra.sweep)
        if raw["subdir"] != "${hydra.job.num}":
            found.append("hydra.sweep.subdir cannot be set: a job's folder is its number, sweep.csv says what it is.")
        return found

    def _opened(self) -> Sweep:
        """Take the sweep's lock, and read what stands in its folder; once, before the first batch."""
        if self._sweep is None:
            folder = Path(self._config.hydra.sweep.dir).absolute()
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._held.enter_context(locked(folder))
                self._sweep = Sweep(folder)
                if self._total is not None and (others := [n for n in self._sweep.jobs if n >= self._total]):
                    raise ValueError(
                        f"{folder / NAME} is of another command: it has job {max(others)}, this command has "
                        f"{self._total} jobs. Nothing was changed. Choose another folder, hydra.sweep.dir=<folder>, or "
                        f"go on with the jobs that are frozen there: python -m segfield execute {folder}"
                    )
            except ValueError as error:
                why = str(error)
                if isinstance(error, LockedError):
                    why += " Type hydra.sweep.dir=<folder>."
                announce([why], batch.HEADER)
                sys.exit(2)
            self._first = 0 if self._total is not None else self._sweep.highest() + 1
        return self._sweep

    def _compose(self, overrides: Sequence[str], number: int) -> tuple[DictConfig, DictConfig, Path]:
        """Return the config of one job, Hydra's own, and the job's folder."""
        assert self._load is not None
        config = self._load(self._config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        folder = Path(str(config.hydra.sweep.dir)).absolute() / str(number)
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(folder)
        HydraConfig.instance().set_config(config)
        hydra: Any = HydraConfig.instance().cfg
        with open_dict(config):
            del config["hydra"]
        return config, hydra, folder

    def _returned(self, words: Sequence[str], row: Row, search: bool) -> JobReturn:
        job = JobReturn(overrides=list(words), working_dir=str(row.folder), status=JobStatus.COMPLETED)
        job.return_value = row.best if row.state in ENDED else None
        if search and job.return_value is None:
            why = row.reason if row.state not in ENDED else f"{row.job.monitor} was not logged, or is no number"
            job.status = JobStatus.FAILED
            job.return_value = JobError(f"{row.folder} is {row.state}: {why}")
        return job

    def _leave(self, record: Path, before: str | None, *, had_lock: bool) -> None:
        """Give the lock back; where no job was frozen, undo what was written: Hydra's record, and the lock."""
        with contextlib.suppress(KeyboardInterrupt):  # the user is in a hurry, and all of it ends with this process
            if self._planner:
                self._planner.close()
            self._starter.close()
        held = self._sweep is not None
        self._held.close()
        if self._frozen:
            return
        with contextlib.suppress(OSError):
            if held and not had_lock:
                record.with_name(LOCK).unlink()
            if before is not None:
                write_text(record, before)
            else:
                record.unlink()
                record.parent.rmdir()
