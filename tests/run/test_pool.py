"""Real processes: shells that sleep, die and start others."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from segfield.run.pool import Child, Event, Pool, appended

WAIT = 30.0


def wait_for(fact: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Shell:
    """Runs items that are lines of shell, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.slots: list[int] = []

    def __call__(self, item: str, slot: int) -> Child:
        self.slots.append(slot)
        command = ["/bin/sh", "-c", f"cd {self.folder}; {item}"]
        return Child(command, self.folder / "console.txt", {"SLOT": str(slot)})


def events(pool: Pool[str], items: list[str]) -> list[Event[str]]:
    return [event for event in pool.run(items, lambda _: True) if event.item is not None]


def test_as_many_run_at_once_as_there_are_slots_and_the_next_takes_the_free_one(tmp_path: Path) -> None:
    meet = "touch {0}; until [ -e {1} ]; do sleep 0.02; done"
    shell = Shell(tmp_path)
    found = events(Pool(2, shell), [meet.format("a", "b"), meet.format("b", "a"), "true"])
    assert [event.code for event in found[:2]] == [None, None]
    assert sorted(event.code for event in found if event.code is not None) == [0, 0, 0]
    assert shell.slots[:2] == [0, 1]
    assert shell.slots[2] in (0, 1)


def test_an_exit_code_and_the_signal_that_killed_are_told_and_the_others_go_on(tmp_path: Path) -> None:
    found = events(Pool(2, Shell(tmp_path)), ["exit 3", "kill -9 $$", "kill -SEGV $$", "echo fine"])
    codes = {event.item: event.code for event in found if event.code is not None}
    assert codes == {"exit 3": 3, "kill -9 $$": -9, "kill -SEGV $$": -11, "echo fine": 0}
    assert (tmp_path / "console.txt").read_text() == "fine\n"


def test_both_outputs_are_appended_to_the_console_and_the_environment_is_added(tmp_path: Path) -> None:
    (tmp_path / "console.txt").write_text("before\n")
    events(Pool(1, Shell(tmp_path)), ["echo out; echo $SLOT >&2; cat"])
    assert (tmp_path / "console.txt").read_text() == "before\nout\n0\n"


def test_what_a_killed_child_left_running_is_killed_too(tmp_path: Path) -> None:
    events(Pool(1, Shell(tmp_path)), ["sleep 600 & echo $! > left; kill -9 $$"])
    left = int((tmp_path / "left").read_text())
    wait_for(lambda: gone(left))
    assert gone(left)


def test_an_item_that_cannot_start_ends_with_the_reason_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()

    def start(item: str, slot: int) -> Child:
        return Child(["/bin/true"], tmp_path / item / "console.txt", {})

    first, *others = events(Pool(1, start), ["nowhere", "elsewhere"])
    assert (first.item, first.code) == ("nowhere", 1)
    assert "No such file or directory" in first.why
    assert [(event.item, event.code) for event in others] == [("elsewhere", None), ("elsewhere", 0)]


def test_a_console_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep\n")
    (tmp_path / "console.txt").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match=r"console\.txt"), appended(tmp_path / "console.txt"):
        pass
    assert (tmp_path / "mine").read_text() == "keep\n"


def test_an_item_that_is_not_ready_lets_others_go_first(tmp_path: Path) -> None:
    pool, order = Pool(1, Shell(tmp_path)), []
    for event in pool.run(["true #late", "true"], lambda item: "late" not in item or (tmp_path / "now").exists()):
        if event.code is not None:
            order.append(event.item)
            (tmp_path / "now").touch()
    assert order == ["true", "true #late"]


def test_a_signal_is_sent_on_once_and_no_further_item_starts(tmp_path: Path) -> None:
    trap = "trap 'echo INT >> heard; exit 7' INT; touch ready; while :; do sleep 0.02; done"
    pool = Pool(1, Shell(tmp_path))
    threading.Thread(
        target=lambda: (wait_for((tmp_path / "ready").exists), os.kill(os.getpid(), signal.SIGINT))
    ).start()
    found = events(pool, [trap, "echo never > never"])
    assert [event.code for event in found] == [None, 7]
    assert pool.received == [signal.SIGINT]
    assert (tmp_path / "heard").read_text() == "INT\n"
    assert not (tmp_path / "never").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_signal_is_sent_on_too_and_a_third_kills_the_child_with_its_own_children(tmp_path: Path) -> None:
    stubborn = "trap 'echo >> heard' TERM; sleep 600 & echo $! > left; touch ready; while :; do sleep 0.02; done"
    pool = Pool(1, Shell(tmp_path))

    def insist() -> None:
        wait_for((tmp_path / "ready").exists)
        for count in (1, 2):
            os.kill(os.getpid(), signal.SIGTERM)
            wait_for(lambda count=count: (tmp_path / "heard").exists() and (tmp_path / "heard").stat().st_size == count)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=insist).start()
    assert [event.code for event in events(pool, [stubborn])] == [None, -9]
    left = int((tmp_path / "left").read_text())
    wait_for(lambda: gone(left))
    assert gone(left)


PARENT = """
import sys, time
from pathlib import Path
from segfield.run.pool import Child
Child([sys.executable, sys.argv[1]], Path(sys.argv[2]) / "console.txt", {})
time.sleep(600)
"""
CHILD = """
import os, signal, sys, time
from pathlib import Path
from segfield.run.pool import follow_parent
def stop(number, frame):
    Path("heard").write_text(str(number))
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
assert follow_parent() and "SEGFIELD_PARENT" not in os.environ
Path("pid").write_text(str(os.getpid()))
time.sleep(600)
"""


def test_a_child_gets_sigterm_when_its_parent_is_killed(tmp_path: Path) -> None:
    for name, text in (("parent.py", PARENT), ("child.py", CHILD)):
        (tmp_path / name).write_text(text)
    words = [sys.executable, "parent.py", "child.py", "."]
    with subprocess.Popen(words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as parent:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        parent.kill()
    wait_for(lambda: (tmp_path / "heard").exists() and (tmp_path / "heard").read_text())
    assert (tmp_path / "heard").read_text() == str(int(signal.SIGTERM))


def test_a_job_whose_parent_has_died_before_it_looked_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGFIELD_PARENT", "1")
    words = [sys.executable, "-m", "segfield", "execute", str(tmp_path)]
    done = subprocess.run(
        words, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the sweep that started this job has ended: nothing was run" in done.stderr
