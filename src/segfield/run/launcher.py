"""The launcher of sweeps: freezes every job of a batch first, then runs each as a child process on its folder.

So later edits of conf/ do not leak into a running sweep, and a crash, an OOM kill or a leak ends one job only.
"""

import logging
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import final

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, filter_overrides, setup_globals
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

_log = logging.getLogger(__name__)


class JobError(CompactHydraException):
    """A job of a sweep ended without a result; the others ran."""


@final
class ProcessesLauncher(Launcher):
    """One child process per job: `python -m segfield execute <folder>`, one after the other."""

    def __init__(self) -> None:
        self._config = DictConfig({})
        self._context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what launch needs; the task function itself runs in no job."""
        self._context, self._config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Check all jobs, freeze all, then run them; where one is wrong, all errors are listed and none is frozen.

        Returns:
            One JobReturn per job, in order; a finished one holds the best value of the monitored score.
        """
        from segfield.run.compose import frozen_record, plan
        from segfield.run.freeze import freeze

        setup_globals()
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        plans = []
        for words, number in zip(job_overrides, numbers, strict=True):
            task, hydra, folder = self._compose(words, number)
            values = plan(task, folder, f"Job {number} of this sweep cannot start:")
            plans.append((values, folder, task, hydra))
        if not all(values for values, *_ in plans):
            _say("No job was run, and none is frozen.")
            sys.exit(2)
        for values, folder, task, hydra in plans:
            freeze(values, folder, frozen_record(task, hydra))
        _say(f"{len(plans)} jobs are frozen in {Path(self._config.hydra.sweep.dir).absolute()}")
        jobs = []
        for words, number, (_, folder, task, hydra) in zip(job_overrides, numbers, plans, strict=True):
            job = JobReturn(overrides=list(words), cfg=task, hydra_cfg=hydra, working_dir=str(folder))
            _say(f"job {number}: {' '.join(filter_overrides(list(words))) or 'defaults'}")
            _run(job)
            jobs.append(job)
        return jobs

    def _compose(self, overrides: Sequence[str], number: int) -> tuple[DictConfig, DictConfig, Path]:
        """Return the config of one job, Hydra's own, and the job's folder."""
        assert self._context is not None
        config = self._context.config_loader.load_sweep_config(self._config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        HydraConfig.instance().set_config(config)
        folder = Path(str(config.hydra.sweep.dir)).absolute() / str(config.hydra.sweep.subdir)
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(folder)
        HydraConfig.instance().set_config(config)
        task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        hydra = OmegaConf.masked_copy(config, ["hydra"])
        return task, hydra, folder


def _run(job: JobReturn) -> None:
    """Execute one job's folder in a child process and note its outcome."""
    from segfield.run.status import ENDED, shown

    command = [sys.executable, "-m", "segfield", "execute", str(job.working_dir)]
    received: list[int] = []
    # A session of its own: a terminal's Ctrl-C comes to the job once, from here, and not a second time by itself.
    with subprocess.Popen(command, start_new_session=True) as child:

        def forward(number: int, frame: FrameType | None) -> None:
            received.append(number)
            child.send_signal(number)

        before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            code = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if received:
        _say("the sweep is interrupted; jobs that are not finished can be continued from their folders")
        sys.exit(128 + received[0])
    status = shown(str(job.working_dir))
    if code == 0 and status["state"] in ENDED:
        job.status = JobStatus.COMPLETED
        job.return_value = next(iter((status.get("best") or {}).values()), None)
    else:
        reason = status.get("reason") or f"exit code {code}"
        job.status = JobStatus.FAILED
        error = JobError(f"{job.working_dir} is {status['state']}: {reason}")
        _say(str(error))
        job.return_value = error


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
