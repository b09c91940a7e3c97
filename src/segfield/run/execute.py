"""execute(folder): the only code that trains. It reads the run folder and nothing else."""

import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segfield.files import clear_temporaries
from segfield.run import environment
from segfield.run.freeze import load
from segfield.run.inside import apart, paths_outside
from segfield.run.interrupt import terminable, undisturbed
from segfield.run.lock import LockedError, alive, locked
from segfield.run.log import logged, quiet_lightning
from segfield.run.placement import located, override
from segfield.run.status import ENDED, Status, read_status

_log = logging.getLogger(__name__)


def execute(folder: str | Path, placement: Sequence[str] = ()) -> dict[str, Any]:
    """Run a frozen folder, or continue it from its last checkpoint.

    Args:
        folder: of the run.
        placement: key=value of placement keys, for this execution.

    Returns:
        The content of status.json.

    Raises:
        FileNotFoundError: if there is no frozen config.
        LockedError: if a live process executes the folder.
        ValueError: if a key is no placement key, or a path leads out of the folder.
        SystemExit: 130 or 143 after SIGINT or SIGTERM, with last.ckpt saved.
        Exception: whatever ended the run; status.json then says "failed" and why, log.txt holds the traceback.
    """
    folder = Path(folder).absolute()
    config = _frozen(folder, placement)
    with apart(folder), locked(folder), contextlib.chdir(folder), logged("log.txt"), terminable():
        before = read_status(folder)
        if before["state"] in ENDED:
            _log.info("%s is %s already; nothing to do", folder, before["state"])
            return before
        status = Status(folder)
        if before["state"] == "running":
            _log.info("an earlier execution was killed at step %s or later", before.get("step", 0))
        try:
            pruned = _fit(config, status)
        except (KeyboardInterrupt, SystemExit) as stop:
            # Before the first step Lightning turns Ctrl-C into exit code 1.
            code = stop.code if isinstance(stop, SystemExit) and stop.code in (130, 143) else 130
            assert isinstance(code, int)
            with undisturbed(), contextlib.suppress(OSError):  # a full disk must not hide the code
                status.update(state="interrupted", reason=f"signal {code - 128}")
            _log.info("interrupted; continue with: python -m segfield execute %s", folder)
            raise SystemExit(code) from stop
        except BaseException as error:
            with undisturbed(), contextlib.suppress(OSError):  # a full disk must not hide why
                status.update(state="failed", reason=reason(error))
                _log.debug("failed", exc_info=True)  # to log.txt alone
            raise
        with undisturbed():
            status.update(state="pruned" if pruned else "finished", reason=pruned)
        _log.info("pruned: %s; %s" if pruned else "finished: %s%s", folder, pruned or "")
    return read_status(folder)


def _frozen(folder: str | Path, placement: Sequence[str]) -> dict[str, Any]:
    """Read the frozen config and place it, and refuse what leads out of its folder."""
    config = located(override(load(folder), placement))
    outside = paths_outside(config)
    if outside:
        raise ValueError("\n".join(outside))
    return config


def reason(error: BaseException) -> str:
    """Return what an error says, without the traceback that a loader's worker puts before it."""
    text = str(error).strip()
    if text.startswith("Caught ") and "Original Traceback" in text:
        text = text.splitlines()[-1].split(": ", 1)[-1]
    return text or type(error).__name__


def attempt(folder: str | Path, placement: Sequence[str] = (), *, checked: bool = False) -> int:
    """Execute for the command line: what the user can mend is said in plain words.

    Args:
        folder: of the run.
        placement: key=value of placement keys, for this execution.
        checked: the config has been checked just now, before it was frozen.

    Returns:
        Exit code: 0 finished or pruned, 1 failed, 2 not started.
    """
    from segfield.run.check import announce, problems

    folder = Path(folder).absolute()
    try:
        config = _frozen(folder, placement)  # what execute does first: a wrong call starts nothing
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    idle = read_status(folder)["state"] not in ENDED and not alive(folder)
    if idle and not checked and announce(problems(config, folder)):
        return 2
    try:
        execute(folder, placement)
    except LockedError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Exception as error:  # a library's own class of error too; log.txt holds the traceback
        sys.stderr.write(f"{reason(error)}\nThe run has failed; see {folder / 'log.txt'}\n")
        return 1
    return 0


def _fit(config: dict[str, Any], status: Status) -> str | None:
    """Train to the end; return why a callback has pruned the run."""
    import torch

    from segfield.callbacks.prune import Prune
    from segfield.run.build import build, build_trainer
    from segfield.run.checkpoints import starting_point
    from segfield.run.data import hold_data
    from segfield.run.progress import Progress
    from segfield.run.weights import write_digests

    quiet_lightning()
    torch.set_num_threads(config["threads"])
    clear_temporaries("checkpoints")
    clear_temporaries(".")
    run = build(config)
    hold_data(run.data, environment.own_entries())
    start = starting_point(run.task)
    step = start.step if start else 0
    if start:
        _log.info("continuing from step %d", step)
    environment.record(config, step)
    status.update(state="running", reason=None, step=step)
    purge = step if status.started_before else None
    trainer = build_trainer(config, [*run.callbacks, Progress(status)], purge)
    parameters = sum(parameter.numel() for parameter in run.task.parameters())
    train, val = len(run.data.indices("train")), len(run.data.indices("val"))
    _log.info("%s parameters, %d training and %d validation samples", f"{parameters:,}", train, val)
    trainer.fit(run.task, datamodule=run.data, ckpt_path=start.path if start else None, weights_only=True)
    write_digests(trainer, Path("checkpoints/best.ckpt"))
    clear_temporaries("checkpoints")
    return next((callback.reason for callback in run.callbacks if isinstance(callback, Prune)), None)
