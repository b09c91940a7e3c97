"""Plan a batch of a sweep in a forked process: compose, check and freeze all of its jobs, or none.

The process takes what that costs with it, torch's import above all: the sweep's own keeps words and numbers.
"""

import json
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn, final

from hydra.core.override_parser.types import Override, RangeSweep
from omegaconf import DictConfig

from segfield.processes import die_with_parent
from segfield.run.check import announce
from segfield.run.execute_sweep import Settings, shares_of
from segfield.run.job import Job, digest, key_of
from segfield.run.placement import KEYS
from segfield.run.sweep import NAME, Sweep

Composer = Callable[[Sequence[str], int], tuple[DictConfig, DictConfig, Path]]
HEADER = "This sweep cannot start:"
_MOST_WRONG = 20  # jobs with errors; a list of hundreds is read by nobody


def count(overrides: Sequence[Override]) -> int:
    """Return how many jobs a grid of these overrides has, without making them."""
    jobs = 1
    for values in {override.get_key_element(): override for override in overrides}.values():  # the last one wins
        if isinstance(sweep := values.value(), RangeSweep):
            start, stop, step = (Decimal(str(number)) for number in (sweep.start, sweep.stop, sweep.step))
            jobs *= max(0, math.ceil((stop - start) / step)) if step else 1  # Hydra refuses a step of 0
        elif values.is_discrete_sweep():
            jobs *= sum(1 for _ in values.sweep_iterator())
    return jobs


def planned(compose: Composer, batch: dict[int, Sequence[str]], sweep: Sweep, settings: Settings) -> "Plan":
    """Freeze the jobs of a batch.

    Args:
        compose: returns a job's config, Hydra's own, and its folder.
        batch: overrides of the task by number.
        sweep: with the jobs that it has already.
        settings: of the launcher.

    Raises:
        SystemExit: 2 where a job is wrong, which is told; 130 after Ctrl-C.
    """
    ours, theirs = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _answer(theirs, parent, lambda: _Planner(compose, sweep, settings).plan(batch))
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        answer = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        why = " (out of memory?)" if code == -signal.SIGKILL else ""
        announce([f"the process that plans it ended by signal {-code}{why}. Give the same command again."], HEADER)
    if code:
        sys.exit(130 if code == 130 else 2)
    content = json.loads(answer)
    jobs = [Job(**entry) for entry in content["jobs"]]
    return Plan(jobs, {int(number): words for number, words in content["words"].items()})


@final
class Plan:
    """Jobs, and what of their placement was typed anew for folders that stand already, by number."""

    def __init__(self, jobs: list[Job], words: dict[int, list[str]]) -> None:
        self.jobs, self.words = jobs, words


def _answer(pipe: int, parent: int, work: Callable[[], Plan | None]) -> NoReturn:
    """Be the process that plans."""
    code = 1
    try:
        die_with_parent()
        if os.getppid() == parent and (plan := work()) is not None:
            answer = {"jobs": [vars(job) for job in plan.jobs], "words": plan.words}
            with os.fdopen(pipe, "wb") as file:
                file.write(json.dumps(answer).encode())
            code = 0
        else:
            code = 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted before the sweep was frozen\n")
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@final
class _Planner:
    def __init__(self, compose: Composer, sweep: Sweep, settings: Settings) -> None:
        self._compose, self._sweep, self._settings = compose, sweep, settings
        self._first = {job.digest: job.number for job in sweep.jobs.values() if job.same_as is None}
        self._frozen: list[tuple[dict[str, Any], Path, dict[str, str]]] = []
        self._words: dict[int, list[str]] = {}

    def plan(self, batch: dict[int, Sequence[str]]) -> Plan | None:
        """Plan all jobs; None where one is wrong, which is told."""
        from segfield.run import compose
        from segfield.run.freeze import freeze

        sound: list[Job] = []
        for checked, (number, words) in enumerate(batch.items(), 1):
            if job := self._job(number, words):
                sound.append(job)
            elif checked - len(sound) == _MOST_WRONG:
                sys.stderr.write(f"{checked} of {len(batch)} jobs are checked: these are enough.\n")
                break
        if len(sound) < len(batch):
            sys.stderr.write("No job was run, and none is frozen.\n")
            if self._sweep.jobs:
                text = "To go on with the jobs that were frozen before: python -m segfield execute"
                sys.stderr.write(f"{text} {self._sweep.folder}\n")
            return None
        found = shares_of(sound, self._settings, lambda number: self._words.get(number, [])).problems()
        if announce(found, HEADER):
            return None
        try:
            for values, folder, record in self._frozen:
                freeze(values, folder, record)
        except compose.REFUSALS as error:
            announce([compose.plain(error, [])], HEADER)
            sys.stderr.write("No job was run. Mend this and give the same command again.\n")
            return None
        return Plan(sound, self._words)

    def _job(self, number: int, words: Sequence[str]) -> Job | None:
        """Compose and check a job; None where it is wrong."""
        from segfield.run import compose

        header = f"Job {number} of this sweep cannot start:"
        try:
            task, hydra, folder = self._compose(words, number)
            values, why = compose.resolved(task)
        except compose.REFUSALS as error:
            announce([compose.plain(error, words)], header)
            return None
        overrides = list(hydra.hydra.overrides.task)
        found = digest(values)
        first = self._first.setdefault(found, number)
        if announce(self._against(number, found, overrides, folder), header):
            return None
        if first == number or why:
            if not compose.accepted(values, why, folder, header):
                return None
            if (folder / "config.yaml").exists():
                self._words[number] = _typed(overrides, values)
            else:
                self._frozen.append((values, folder, compose.frozen_record(task, hydra)))
        task_of, trainer = values["task"], values["trainer"]
        return Job(
            number=number,
            overrides=overrides,
            digest=found,
            monitor=str(task_of["monitor"]),
            mode=str(task_of["mode"]),
            epochs=int(trainer["max_epochs"]),
            accelerator=trainer.get("accelerator"),
            devices=trainer.get("devices"),
            same_as=None if first == number else first,
        )

    def _against(self, number: int, found: str, overrides: list[str], folder: Path) -> Iterator[str]:
        """Yield why sweep.yaml is of another command; a folder that stands tells it better."""
        known = self._sweep.jobs.get(number)
        if known and known.digest != found and not (folder / "config.yaml").exists():
            yield (
                f"{folder.parent / NAME} is of another command: its job {number} is {' '.join(known.overrides)}, not "
                f"{' '.join(overrides)}. Nothing was changed. Choose another folder with hydra.sweep.dir=<folder>."
            )


def _typed(overrides: Sequence[str], values: dict[str, Any]) -> list[str]:
    """Return the placement that was typed, for a folder that was frozen with another one perhaps."""
    words = []
    for key in dict.fromkeys(map(key_of, overrides)):
        group, _, name = key.rpartition(".")
        node = values.get(group) if group else values
        if key in KEYS and isinstance(node, dict) and name in node:
            words.append(f"{key}={json.dumps(node[name])}")
    return words
