"""Plan a batch of a sweep in a forked process: compose, check and freeze all of its jobs, or none.

The process takes what that costs with it, torch's import above all: the sweep's own keeps words and numbers.
"""

import contextlib
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, final

from omegaconf import DictConfig

from segfield.processes import die_with_parent
from segfield.run.check import announce
from segfield.run.execute_sweep import Settings, shares_of
from segfield.run.job import Job, digest, key_of, same_work
from segfield.run.placement import KEYS
from segfield.run.refusals import REFUSALS, plain
from segfield.run.sweep import NAME, Sweep
from segfield.run.table import tell

Composer = Callable[[Sequence[str], int], tuple[DictConfig, DictConfig, Path]]
HEADER = "This sweep cannot start:"
_MOST_WRONG = 20  # jobs with errors; a list of hundreds is read by nobody


@final
class Plan:
    """Jobs, and what of their placement was typed anew for folders that stand already, by number."""

    def __init__(self, jobs: list[Job], words: dict[int, list[str]]) -> None:
        self.jobs, self.words = jobs, words


@final
class Planner:
    """Plans batches in a forked process, which a search uses again and again.

    Args:
        compose: returns a job's config, Hydra's own, and its folder.
        sweep: with the jobs that it has already.
        settings: of the launcher.
    """

    def __init__(self, compose: Composer, sweep: Sweep, settings: Settings) -> None:
        self._work = _Work(compose, sweep, settings)
        self._process = 0
        self._requests, self._answers = io.BytesIO(), io.BytesIO()  # pipes, while there is a process

    def plan(self, batch: dict[int, Sequence[str]]) -> Plan:
        """Freeze the jobs of a batch.

        Args:
            batch: overrides of the task by number.

        Raises:
            SystemExit: 2 where a job is wrong, which is told; 130 after Ctrl-C.
        """
        if not self._process:
            self._fork()
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(
                json.dumps([[number, list(words)] for number, words in batch.items()]).encode() + b"\n"
            )
            self._requests.flush()
        answer = self._answers.readline()
        content: dict[str, Any] = json.loads(answer) if answer else {"code": self._died()}
        if "code" in content:
            sys.exit(content["code"])
        jobs = [Job(**entry) for entry in content["jobs"]]
        return Plan(jobs, {int(number): words for number, words in content["words"].items()})

    def close(self) -> None:
        """End the process."""
        if self._process:
            for pipe in (self._requests, self._answers):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
            os.waitpid(self._process, 0)
            self._process = 0

    def _died(self) -> int:
        """Say how the process ended; return the exit code of the sweep."""
        code = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        self._process = 0
        if code < 0:
            why = " (out of memory?)" if code == -signal.SIGKILL else ""
            announce([f"the process that plans it ended by signal {-code}{why}. Give the same command again."], HEADER)
        return 130 if code == 130 else 2

    def _fork(self) -> None:
        requests, mine = os.pipe()
        my, answers = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        self._process = os.fork()
        if self._process == 0:
            os.close(mine)
            os.close(my)
            _serve(requests, answers, parent, self._work)
        os.close(requests)
        os.close(answers)
        self._requests, self._answers = os.fdopen(mine, "wb"), os.fdopen(my, "rb")  # type: ignore[assignment]


def _serve(requests: int, answers: int, parent: int, work: "_Work") -> NoReturn:
    """Be the process that plans."""
    code, busy = 1, False
    try:
        die_with_parent()
        with os.fdopen(requests, "rb") as source, os.fdopen(answers, "wb") as sink:
            while os.getppid() == parent and (line := source.readline()):
                busy = True
                plan = work.plan(dict(json.loads(line)))
                answer = (
                    {"code": 2} if plan is None else {"jobs": [vars(job) for job in plan.jobs], "words": plan.words}
                )
                sink.write(json.dumps(answer).encode() + b"\n")
                sink.flush()
                busy = False
        code = 0
    except KeyboardInterrupt:
        if busy:
            tell("interrupted before the jobs were frozen")
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@final
class _Work:
    def __init__(self, compose: Composer, sweep: Sweep, settings: Settings) -> None:
        self._compose, self._sweep, self._settings = compose, sweep, settings
        known = [job for job in sweep.jobs.values() if job.same_as is None]
        self._first = {same_work(job.digest, job.overrides): job.number for job in known}
        self._frozen: list[tuple[dict[str, Any], Path, dict[str, str]]] = []  # of this batch, as what follows
        self._words: dict[int, list[str]] = {}

    def plan(self, batch: dict[int, Sequence[str]]) -> Plan | None:
        """Plan all jobs; None where one is wrong, which is told."""
        from segfield.run.freeze import freeze

        self._frozen, self._words = [], {}
        sound: list[Job] = []
        for checked, (number, words) in enumerate(batch.items(), 1):
            if job := self._job(number, words):
                sound.append(job)
            elif checked - len(sound) == _MOST_WRONG:
                tell(f"{checked} of {len(batch)} jobs are checked: these are enough.")
                break
        if len(sound) < len(batch):
            tell("No job was run, and none is frozen.")
            if self._sweep.jobs:
                text = "To go on with the jobs that were frozen before: python -m segfield execute"
                tell(f"{text} {self._sweep.folder}")
            return None
        found = shares_of(sound, self._settings, lambda number: self._words.get(number, [])).problems()
        if announce(found, HEADER):
            return None
        try:
            for values, folder, record in self._frozen:
                freeze(values, folder, record)
        except REFUSALS as error:
            announce([plain(error, [])], HEADER)
            tell("No job was run. Mend this and give the same command again.")
            return None
        self._sweep.jobs |= {job.number: job for job in sound}
        return Plan(sound, self._words)

    def _job(self, number: int, words: Sequence[str]) -> Job | None:
        """Compose and check a job; None where it is wrong."""
        from segfield.run import compose

        header = f"Job {number} of this sweep cannot start:"
        try:
            task, hydra, folder = self._compose(words, number)
            values, why = compose.resolved(task)
        except REFUSALS as error:
            announce([plain(error, words)], header)
            return None
        overrides = list(hydra.hydra.overrides.task)
        found = digest(values)
        work = same_work(found, overrides)
        first = self._first.setdefault(work, number)
        if announce(self._against(number, found, overrides, folder), header):
            return None
        if announce(self._alone(values), header):
            return None
        if first == number or why:
            if not compose.accepted(values, why, folder, header):
                self._first.pop(work)  # what is the same is wrong too
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

    def _alone(self, values: dict[str, Any]) -> Iterator[str]:
        """Yield what one job can have and several at once cannot."""
        port = (values.get("ranks") or {}).get("port")
        if port is not None and self._settings.jobs > 1:
            yield (
                f"ranks.port={port} is one for hydra.launcher.jobs={self._settings.jobs} at once. Use ranks.port=null, "
                "any free one for each job, or hydra.launcher.jobs=1."
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
