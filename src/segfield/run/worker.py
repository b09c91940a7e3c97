"""A job of a sweep on a worker of Hydra's own launchers (ray, submitit): it freezes and executes its folder there.

Whoever brought it here may bring it again: after a preemption, or when the worker died. Then it continues what is
frozen, also where conf/ has been edited since. It returns or raises, and never ends the worker.
"""

import logging
import re
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from segfield.run import placement
from segfield.run.launcher import JobError
from segfield.run.status import ENDED, shown

_log = logging.getLogger(__name__)
_OVERRIDES = "overrides.yaml"
_SWEEP = re.compile(r"hydra\.sweep\.dir=([\w.-][\w./-]*)")


class WorkerError(JobError):
    """A job on a worker ended without a result; whoever waits for it tells why."""


def anchored(word: str) -> str:
    """Make a typed folder of a sweep absolute: it is the same for workers that stand elsewhere."""
    found = _SWEEP.fullmatch(word)
    whole = f"hydra.sweep.dir={Path(found[1]).absolute()}" if found else word
    return whole if re.fullmatch(r"[\w./=-]+", whole) else word  # the way here may need Hydra's quotes


def work(config: DictConfig) -> Any:
    """Freeze and execute one job, or continue it.

    Args:
        config: composed.

    Returns:
        The best value of the monitored score; None where there is none.

    Raises:
        WorkerError: if it cannot start, or failed.
        SystemExit: after a signal.
    """
    from segfield.run.compose import frozen_record, refused, resolved
    from segfield.run.execute import attempt
    from segfield.run.freeze import freeze

    placement.share_cores()
    hydra_config: Any = HydraConfig.instance().cfg
    folder, record = Path(hydra_config.hydra.runtime.output_dir), frozen_record(config, hydra_config)
    new = not (folder / "config.yaml").exists()
    if new or not _is_this_job(folder, record):
        values, why = resolved(config)
        errors = list(refused(values, why, folder))
        if not errors:
            try:
                freeze(values, folder, record)
            except ValueError as error:
                errors = [str(error)]
        if errors:
            raise WorkerError(
                f"job {hydra_config.hydra.job.num} cannot start:\n" + "\n".join(f"- {it}" for it in errors)
            )
    code, status = attempt(folder, checked=new), shown(folder)
    if code or status["state"] not in ENDED:
        raise WorkerError(
            f"{folder} is {status['state']}: {status.get('reason') or 'it did not start, see its output'}"
        )
    return (status.get("best") or {}).get(config.task.monitor)


def _is_this_job(folder: Path, record: dict[str, str]) -> bool:
    """Tell whether the folder was frozen from the same command line."""
    try:
        return (folder / ".hydra" / _OVERRIDES).read_text() == record[_OVERRIDES]
    except OSError:
        return False
