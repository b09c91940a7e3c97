"""`execute <sweep folder>`: run what of a sweep has not ended, from what is frozen there; conf/ is not read."""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from segfield.run.check import announce
from segfield.run.execute_sweep import Execution, Settings, Starter
from segfield.run.lock import locked
from segfield.run.placement import KEYS
from segfield.run.results import told
from segfield.run.signature import near
from segfield.run.status import ENDED
from segfield.run.sweep import opened
from segfield.run.table import tell

_SETTING = "hydra.launcher."
_SETTINGS = ("jobs", "retry_failed", "preload")


def attempt(folder: str | Path, words: Sequence[str] = ()) -> int:
    """Run the jobs of a sweep folder that are not over.

    Args:
        folder: of the sweep.
        words: hydra.launcher.jobs=2 and the like; placement, for every job.

    Returns:
        Exit code: 0 every job is over, 1 not every one, 2 not started.

    Raises:
        SystemExit: 130 or 143 after a signal.
    """
    folder = Path(folder).absolute()
    try:
        settings, placement = _parted(words)
        opened(folder)  # before the lock is written into what others sent
        with locked(folder), contextlib.closing(Starter(preload=settings.preload)) as starter:
            sweep = opened(folder)
            execution = Execution(sweep, settings, lambda _: placement, starter)
            if announce(execution.shares.problems(), "This sweep cannot start:"):
                return 2
            execution.run(sweep.jobs)
            for line in told(list(execution.rows.values()), folder):
                tell(line)
            return 0 if all(row.state in ENDED for row in execution.rows.values()) else 1
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _parted(words: Sequence[str]) -> tuple[Settings, list[str]]:
    """Return the launcher's settings and the placement.

    Raises:
        ValueError: for any other word, or a value that cannot be.
    """
    given: dict[str, Any] = {}
    placement = []
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"Expected key=value after the folder, found {word!r}: for example hydra.launcher.jobs=2.")
        if key.startswith(_SETTING):
            name = key.removeprefix(_SETTING)
            if name not in _SETTINGS:
                raise ValueError(f"{key}: a sweep that stands takes {_named()}{near(key, _named().split(', '))}")
            given[name] = _value(word, text)
        elif key in KEYS:
            placement.append(word)
        else:
            raise ValueError(
                f"{key} is no placement. What is computed is frozen in each job's config.yaml; execute changes only "
                f"where: {', '.join(KEYS)}; and how the jobs run: {_named()}. For other jobs start a new sweep."
            )
    settings = Settings(**given)
    if wrong := settings.problems():
        raise ValueError("\n".join(wrong))
    return settings, placement


def _value(word: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{word}: the value is no YAML. Write for example hydra.launcher.jobs=2.") from error


def _named() -> str:
    return ", ".join(f"{_SETTING}{name}" for name in _SETTINGS)
