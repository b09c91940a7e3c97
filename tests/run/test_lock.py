"""One execution at a time, by the system's lock. Other processes are real ones, and are killed."""

import contextlib
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from segfield.run import lock
from segfield.run.lock import LockedError, alive, locked
from segfield.run.status import shown

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


@pytest.mark.parametrize("system", [True, False])
def test_a_folder_that_another_process_holds_is_refused_until_it_is_killed(
    elsewhere: Start, tmp_path: Path, request: pytest.FixtureRequest, system: bool
) -> None:
    if not system:
        request.getfixturevalue("no_locks")
    child = elsewhere(hold(tmp_path))
    wait_for((tmp_path / "ready").exists)
    assert alive(tmp_path)
    with pytest.raises(LockedError, match=rf"is being executed already, by process {child} on .*or stop it") as refused:
        locked(tmp_path).__enter__()
    assert "token" not in str(refused.value)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not alive(tmp_path)
    with locked(tmp_path):
        assert alive(tmp_path)
    assert not alive(tmp_path)


@pytest.mark.parametrize("system", [True, False])
def test_at_a_clean_end_no_thread_is_left_and_lock_json_is_empty(
    tmp_path: Path, request: pytest.FixtureRequest, system: bool
) -> None:
    if not system:
        request.getfixturevalue("no_locks")
    before = threading.active_count()
    with contextlib.suppress(ZeroDivisionError), locked(tmp_path):
        assert threading.active_count() == before + 1
        raise ZeroDivisionError
    assert threading.active_count() == before
    assert (tmp_path / "lock.json").read_text() == ""
    assert [path.name for path in tmp_path.iterdir()] == ["lock.json"]


def test_asking_whether_a_folder_is_alive_does_not_give_its_own_lock_back(elsewhere: Start, tmp_path: Path) -> None:
    with locked(tmp_path):
        assert alive(tmp_path)
        assert ended(elsewhere(hold(tmp_path))) == 2
        assert ended(elsewhere(lambda: not alive(tmp_path))) == 0
        assert ended(elsewhere(hold(tmp_path))) == 2, "nor does a fork that asks"
    assert not alive(tmp_path)


def test_asking_at_the_moment_when_a_run_starts_does_not_refuse_it(elsewhere: Start, tmp_path: Path) -> None:
    (tmp_path / "lock.json").touch()

    def look() -> None:
        with (tmp_path / "lock.json").open() as file:
            fcntl.lockf(file, fcntl.LOCK_SH)
            (tmp_path / "looking").touch()
            wait_for((tmp_path / "tried").exists)

    elsewhere(look)
    wait_for((tmp_path / "looking").exists)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock, "_TRIES", 2000)
        patch.setattr(lock.time, "sleep", lambda _: ((tmp_path / "tried").touch(), threading.Event().wait(0.01)))
        with locked(tmp_path):
            assert (tmp_path / "tried").exists()


def test_a_second_execution_in_the_same_process_is_refused_and_the_first_keeps_the_lock(
    elsewhere: Start, tmp_path: Path
) -> None:
    with locked(tmp_path):
        with pytest.raises(LockedError, match="is being executed already"):
            locked(tmp_path / "." / "x" / "..").__enter__()
        assert ended(elsewhere(hold(tmp_path))) == 2
    with locked(tmp_path):
        pass


def test_the_heartbeat_is_written_through_the_file_that_is_open(
    elsewhere: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.02)
    child = elsewhere(hold(tmp_path))
    path = tmp_path / "lock.json"
    wait_for((tmp_path / "ready").exists)
    os.utime(path, (0, 0))
    wait_for(lambda: path.stat().st_mtime > 0)
    assert set(json.loads(path.read_text())) == {"pid", "host", "beat", "token"}
    assert json.loads(path.read_text())["pid"] == child
    with pytest.raises(LockedError):  # the beats have not given the lock back
        locked(tmp_path).__enter__()


def test_a_signal_during_a_run_wakes_the_main_thread_at_once(elsewhere: Start, tmp_path: Path) -> None:
    def work() -> int:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        return hold(tmp_path)() or 0

    child = elsewhere(work)
    wait_for((tmp_path / "ready").exists)
    tasks = Path(f"/proc/{child}/task")
    if tasks.is_dir():  # the heartbeat's thread leaves the signals to others
        blocked = [
            int(line.split()[1], 16)
            for task in tasks.iterdir()
            for line in (task / "status").read_text().splitlines()
            if line.startswith("SigBlk")
        ]
        term = 1 << (signal.SIGTERM - 1)
        assert sum(bool(mask & term) for mask in blocked) == 1
    os.kill(child, signal.SIGTERM)
    assert ended(child) == 7


def test_a_fork_of_the_holder_outlives_its_kill_without_keeping_the_lock(elsewhere: Start, tmp_path: Path) -> None:
    def work() -> None:
        with locked(tmp_path):
            worker = os.fork()
            if worker == 0:
                (tmp_path / "worker").write_text(str(os.getpid()))
                time.sleep(600)
            time.sleep(600)

    child = elsewhere(work)
    wait_for(lambda: (tmp_path / "worker").exists() and (tmp_path / "worker").read_text())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    worker = int((tmp_path / "worker").read_text())
    with locked(tmp_path):
        os.kill(worker, 0)  # it lives
        assert alive(tmp_path)
        os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 5000, b'{"pid": {}, "token": 1}'])
@pytest.mark.parametrize("system", [True, False])
def test_garbage_in_lock_json_keeps_nobody_out(
    tmp_path: Path, request: pytest.FixtureRequest, content: bytes, system: bool
) -> None:
    if not system:
        request.getfixturevalue("no_locks")
    (tmp_path / "lock.json").write_bytes(content)
    os.utime(tmp_path / "lock.json", (0, 0))
    with locked(tmp_path):
        if not system:
            assert alive(tmp_path)


@pytest.mark.parametrize("what", ["folder", "link", "pipe", "read-only"])
def test_a_lock_json_that_is_no_file_to_write_is_refused_with_what_to_do(tmp_path: Path, what: str) -> None:
    path = tmp_path / "lock.json"
    with ExitStack() as undo:
        if what == "folder":
            path.mkdir()
        elif what == "link":
            path.symlink_to(tmp_path / "elsewhere")
        elif what == "pipe":
            os.mkfifo(path)
        elif os.geteuid() == 0:
            pytest.skip("root writes everywhere")
        else:
            tmp_path.chmod(0o500)
            undo.callback(tmp_path.chmod, 0o700)
        with pytest.raises(LockedError, match=r"lock\.json cannot be written: .*make the folder writable, or execute"):
            locked(tmp_path).__enter__()
        assert not (tmp_path / "elsewhere").exists()
        assert not alive(tmp_path)


def test_a_running_status_is_shown_as_killed_once_nobody_executes_it(elsewhere: Start, tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"state": "running", "step": 3}')
    assert shown(tmp_path) == {"state": "killed", "step": 3}
    child = elsewhere(hold(tmp_path))
    wait_for((tmp_path / "ready").exists)
    assert shown(tmp_path)["state"] == "running"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert shown(tmp_path)["state"] == "killed"


def test_a_folder_without_lock_json_is_not_alive(tmp_path: Path) -> None:
    assert not alive(tmp_path)
    assert not alive(tmp_path / "absent")
    assert not list(tmp_path.iterdir())


def test_someone_elses_lock_that_may_not_be_read_counts_as_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    assert alive(tmp_path)


def test_a_program_that_ends_without_leaving_the_block_is_not_held_up_by_the_thread(tmp_path: Path) -> None:
    code = f"from segfield.run.lock import locked; held = locked({str(tmp_path)!r}); held.__enter__()"
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert ended.returncode == 0
