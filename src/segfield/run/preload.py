"""hydra.launcher.preload=true: one process imports everything a run needs, once, and forks each job.

`python -P -m segfield.run.preload`, a child of the sweep's process, takes a line of JSON per request on its standard
input and answers on its standard output. It touches no device and starts no thread: a fork keeps neither. It ends with
the sweep's process, and its jobs then save and end.

    {"id": 3, "words": ["execute", "<folder>"], "console": "<file>", "environment": {}}    -> {"id": 3, "code": 0}
    {"id": 3, "signal": 15, "group": false}
"""

import contextlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, final

from segfield.processes import die_with_parent
from segfield.run.lock import alive
from segfield.run.pool import PARENT, appended, reaped
from segfield.run.whitelist import LISTED

_LOST = -signal.SIGTERM  # how a job ends whose zygote has died: it saves
_HELD = (signal.SIGINT, signal.SIGTERM)
_TICK = 0.05  # [s] between two looks at the children
# What a run imports, beside the classes that a config can name and what all of these import.
_MODULES = (
    "pytorch_lightning",
    "segmentation_models_pytorch",
    "torch.utils.tensorboard",
    "typeguard",
    "hydra.utils",
    "segfield.commands.execute",
    "segfield.run.checkpoint_io",
    "segfield.run.checkpoints",
    "segfield.run.fit",
    "segfield.run.rehearsal",
    *dict.fromkeys(name.rpartition(".")[0] for name in LISTED if name.startswith("segfield.")),
)


@final
class Forked:
    """A job that the zygote has forked, or is going to."""

    def __init__(self, zygote: "Zygote", number: int, folder: Path) -> None:
        self._zygote, self._number, self._folder = zygote, number, folder

    def poll(self) -> int | None:
        """See Process of pool.py."""
        code = self._zygote.code(self._number)
        if code is None and self._zygote.is_dead() and not alive(self._folder):  # it has saved
            return _LOST
        return code

    def send(self, number: int) -> None:
        """See Process of pool.py."""
        self._zygote.ask({"id": self._number, "signal": int(number), "group": False})

    def kill(self) -> None:
        """See Process of pool.py."""
        self._zygote.ask({"id": self._number, "signal": int(signal.SIGKILL), "group": True})


@final
class Zygote:
    """The process that forks; requests that come while it still imports wait."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "segfield.run.preload"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, PARENT: str(os.getpid())},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._codes: dict[int, int] = {}
        self._count = 0
        self._rest = b""
        self._dead = False

    def start(self, words: Sequence[str], folder: Path, console: Path, environment: Mapping[str, str]) -> Forked:
        """Have a job forked.

        Args:
            words: of `python -m segfield`.
            folder: that the job executes.
            console: takes both of its outputs.
            environment: added to this process's own.

        Raises:
            OSError: if the file cannot be written.
        """
        with appended(console):
            pass
        self._count += 1
        request = {"id": self._count, "words": list(words), "console": str(console), "environment": dict(environment)}
        self.ask(request)
        return Forked(self, self._count, folder)

    def ask(self, request: dict[str, Any]) -> None:
        """Send a request; one that comes too late is nobody's."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def code(self, number: int) -> int | None:
        """Return how a job ended; None while it runs."""
        self._read()
        return self._codes.get(number)

    def is_dead(self) -> bool:
        """Tell whether it can fork no more."""
        self._read()
        return self._dead

    def close(self) -> None:
        """Let it end; jobs that run still save and end too."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while not self._dead:
            try:
                data = os.read(self._process.stdout.fileno(), 65536)
            except BlockingIOError:
                return
            self._dead = not data
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._codes |= {answer["id"]: answer["code"] for answer in map(json.loads, lines)}


def main() -> None:
    """Import, then fork on request until the standard input ends."""
    parent = os.environ.pop(PARENT, "")
    die_with_parent()
    if parent and parent != str(os.getppid()):
        return
    answers = os.dup(1)
    os.dup2(2, 1)  # what an import prints is no answer
    from segfield.run.placement import share_cores

    share_cores()
    import importlib

    for module in _MODULES:
        importlib.import_module(module)
    jobs: dict[int, int] = {}  # id by process
    rest = b""
    while True:
        readable, _, _ = select.select([0], [], [], _TICK if jobs else None)
        if readable:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for request in map(json.loads, lines):
                _obey(request, jobs, answers)
        for process in list(jobs):
            code = reaped(process)
            if code is not None:
                os.write(answers, json.dumps({"id": jobs.pop(process), "code": code}).encode() + b"\n")


def _obey(request: dict[str, Any], jobs: dict[int, int], answers: int) -> None:
    if "words" in request:
        sys.stdout.flush()
        sys.stderr.flush()
        zygote = os.getpid()
        # Python forgets in a fork which signals had come; those that the system holds back reach the job.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        process = os.fork()
        if process == 0:
            os.close(answers)
            _be(request, zygote)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        jobs[process] = request["id"]
        return
    for process, number in jobs.items():
        if number == request["id"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, request["signal"])
            if request["group"]:
                with contextlib.suppress(ProcessLookupError, PermissionError):  # it has no session yet
                    os.killpg(process, request["signal"])


def _be(request: dict[str, Any], zygote: int) -> NoReturn:
    """Be the job: in the fork, from here to its end."""
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        os.setsid()
        with appended(Path(request["console"])) as file:
            os.dup2(file, 1)
            os.dup2(file, 2)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.environ.update(request["environment"], **{PARENT: str(zygote)})
        sys.argv[1:] = request["words"]
        sys.modules.pop("segfield.__main__", None)  # else Python warns of what is run a second time
        runpy.run_module("segfield", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
