"""One execution at a time where the file system has no locks: holders are killed, suspended and overtaken."""

import errno
import fcntl
import json
import logging
import os
import platform
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.run import lock
from segfield.run.lock import LockedError, alive, locked

Start = Callable[[Callable[[], Any]], int]


def wait_for(fact: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def hold(folder: Path) -> Callable[[], None]:
    """Work for a process: take the lock, say so, and keep it."""

    def work() -> None:
        with locked(folder):
            (folder / "ready").touch()
            time.sleep(600)

    return work


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def claim(folder: Path, age: float = 0.0, **entry: Any) -> None:
    """Write the lock.json of a holder that beat `age` seconds ago."""
    path = folder / "lock.json"
    path.write_text(json.dumps({"pid": os.getppid(), "host": "elsewhere", "token": "theirs"} | entry))
    os.utime(path, (time.time() - age,) * 2)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_without_locks_a_fresh_heartbeat_of_another_host_is_respected(
    no_locks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def lockf(*_: Any) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(fcntl, "lockf", lockf)
    claim(tmp_path, age=50)
    before = (tmp_path / "lock.json").read_bytes()
    assert alive(tmp_path)
    with pytest.raises(LockedError, match=r"on elsewhere.*its heartbeat decides, within 60 s"):
        locked(tmp_path).__enter__()
    assert (tmp_path / "lock.json").read_bytes() == before


@pytest.mark.parametrize(
    ("age", "entry"),
    [
        (70, {}),
        (-70, {}),  # written by a clock that has gone backwards since
        (0, {"host": platform.node(), "pid": 2**22 + 1}),  # beyond every pid of Linux
        (0, {"host": platform.node(), "pid": os.getpid()}),  # of a container where this process has the number now
        (0, {"host": platform.node(), "pid": "3"}),
        (0, {"token": None}),
    ],
)
def test_without_locks_a_dead_holder_is_taken_over(
    no_locks: None, tmp_path: Path, caplog: pytest.LogCaptureFixture, age: float, entry: dict[str, Any]
) -> None:
    claim(tmp_path, age=age, **entry)
    assert not alive(tmp_path)
    with caplog.at_level(logging.WARNING), locked(tmp_path):
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()
    assert ("taking over from" in caplog.text) == ("token" not in entry)


def test_without_locks_the_age_of_a_heartbeat_is_told_by_the_file_systems_clock(
    no_locks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(tmp_path)
    monkeypatch.setattr(lock.time, "time", lambda: 0.0)
    assert alive(tmp_path)


def test_without_locks_one_of_several_that_take_over_at_the_same_moment_has_it(
    no_locks: None, elsewhere: Start, tmp_path: Path
) -> None:
    claim(tmp_path, age=70)

    def work() -> int:
        wait_for((tmp_path / "go").exists)
        with locked(tmp_path):
            (tmp_path / f"won{os.getpid()}").touch()
            wait_for((tmp_path / "over").exists)
        return 0

    children = [elsewhere(work) for _ in range(4)]
    (tmp_path / "go").touch()
    wait_for(lambda: len([*tmp_path.glob("refused*"), *tmp_path.glob("won*")]) == 4)
    assert len(list(tmp_path.glob("won*"))) == 1
    (tmp_path / "over").touch()
    assert sorted(ended(child) for child in children) == [0, 2, 2, 2]


def test_without_locks_a_suspended_holder_that_was_taken_over_ends_without_writing(
    no_locks: None, elsewhere: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> int:
        handler = logging.FileHandler(tmp_path / "said")
        logging.getLogger("segfield").addHandler(handler)
        try:
            return hold(tmp_path)() or 0
        finally:
            (tmp_path / "unwound").touch()

    child = elsewhere(work)
    wait_for((tmp_path / "ready").exists)
    os.kill(child, signal.SIGSTOP)
    os.waitpid(child, os.WUNTRACED)
    os.utime(tmp_path / "lock.json", (0, 0))  # a minute goes by
    with locked(tmp_path):
        os.kill(child, signal.SIGCONT)
        assert ended(child) == 2
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()
    said = (tmp_path / "said").read_text()
    assert f"taken over by process {os.getpid()} on" in said
    assert "it ends without saving" in said
    assert not (tmp_path / "unwound").exists()


def test_without_locks_a_heartbeat_that_cannot_be_written_is_said_once_and_the_run_goes_on(
    no_locks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def full(*_: Any) -> None:
        tries.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    with locked(tmp_path):
        monkeypatch.setattr(lock, "_rewrite", full)
        wait_for(lambda: len(tries) > 2)
    assert caplog.text.count("cannot be written: No space left on device; another process may take") == 1


def test_the_lock_draws_nothing_from_the_generators_of_a_run(no_locks: None, tmp_path: Path) -> None:
    random.seed(1)
    before = random.getstate()
    with locked(tmp_path):
        pass
    assert random.getstate() == before
