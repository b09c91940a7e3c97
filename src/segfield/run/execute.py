"""execute(folder): the only code that trains. It reads the run folder and nothing else.

With one device it trains in this process; with several it is the launcher: it holds the lock, starts the ranks, waits
and writes how they ended. execute_rank is what each of them does.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from segfield.processes import CODES
from segfield.run import rank, ranks
from segfield.run.fit import fit
from segfield.run.freeze import load
from segfield.run.inside import apart, paths_outside
from segfield.run.interrupt import terminable, undisturbed
from segfield.run.lock import LockedError, alive, locked
from segfield.run.log import logged
from segfield.run.placement import located, override
from segfield.run.rank import Peers
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
        ValueError: if a key is no placement key, a path leads out of the folder, or the run wants several nodes.
        SystemExit: 130 or 143 after SIGINT or SIGTERM, with last.ckpt saved.
        Exception: whatever ended the run; status.json then says "failed" and why, log.txt holds the traceback.
    """
    folder = Path(folder).absolute()
    config = frozen(folder, placement)
    ranks.refuse_several_nodes(folder, config["trainer"])
    with apart(folder), locked(folder), contextlib.chdir(folder), logged("log.txt"), terminable():
        if not _has_ended(folder):
            status = Status(folder)
            with _concluded(folder, status):
                if ranks.wanted(config["trainer"]):
                    ranks.launch(folder, placement, config)
                else:
                    fit(config, status, Peers())
    return read_status(folder)


def _has_ended(folder: Path) -> bool:
    before = read_status(folder)
    if before["state"] in ENDED:
        _log.info("%s is %s already; nothing to do", folder, before["state"])
    elif before["state"] == "running":
        _log.info("an earlier execution was killed at step %s or later", before.get("step", 0))
    return before["state"] in ENDED


@contextlib.contextmanager
def _concluded(folder: Path, status: Status) -> Iterator[None]:
    """Write how an execution ended, in the folder that it works in."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        # Before the first step Lightning turns Ctrl-C into exit code 1.
        code = stop.code if isinstance(stop, SystemExit) and stop.code in CODES else 130
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
    pruned = read_status(folder)
    if pruned["state"] == "pruned":  # fit has written it, maybe in a rank
        _log.info("pruned: %s; %s", folder, pruned["reason"])
        return
    with undisturbed():
        status.update(state="finished", reason=None)
    _log.info("finished: %s", folder)


def execute_rank(folder: str | Path, placement: Sequence[str] = ()) -> None:
    """Do the part of one rank in the execution of a run folder.

    Where the user has started torchrun, rank 0 checks, takes the lock and writes how the run ended; else its launcher
    does.

    Raises:
        SystemExit: with exit code 0 where the run has come to an end; after an error the process is left at once.
    """
    folder = Path(folder).absolute()
    try:
        rank.begin()
        config = frozen(folder, placement)
        rank.talk_to_log(folder)
        rank.fits(config)
        first, launched = rank.number() == 0, ranks.LAUNCHER in os.environ
        said = logged(folder / rank.log_of(rank.number()), shown=first)
        lock = locked(folder) if first and not launched else contextlib.nullcontext()
        with apart(folder), lock, contextlib.chdir(folder), said, terminable(), _traced():
            # Before the ranks meet: metrics that are tried out alone would wait for them.
            start = launched or not first or _may_start(config, folder)
            with rank.group(config) as peers:
                if peers.once(lambda: start):
                    status = Status(folder) if first else None
                    with _concluded(folder, status) if status and not launched else contextlib.nullcontext():
                        fit(config, status, peers)
    except KeyboardInterrupt as stop:
        rank.leave(stop, "SIGINT", 130)
    except SystemExit as stop:
        rank.leave(stop, f"exit code {stop.code}", stop.code if isinstance(stop.code, int) else 1)
    except BaseException as error:
        rank.leave(error, reason(error))


@contextlib.contextmanager
def _traced() -> Iterator[None]:
    """Write the traceback of an error to the log of this rank."""
    try:
        yield
    except Exception:
        _log.debug("failed", exc_info=True)
        raise


def _may_start(config: dict[str, Any], folder: Path) -> bool:
    """Tell whether there is something to do.

    Raises:
        ValueError: if the check finds what keeps the run from starting.
    """
    from segfield.run.check import CheckError, problems

    if _has_ended(folder):
        return False
    if errors := list(problems(config, folder)):
        raise CheckError(errors)
    return True


def frozen(folder: str | Path, placement: Sequence[str]) -> dict[str, Any]:
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
        config = frozen(folder, placement)  # what execute does first: a wrong call starts nothing
        ranks.refuse_several_nodes(folder, config["trainer"])
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
