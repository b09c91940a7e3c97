"""A process whose parent dies."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from segfield.processes import die_with_parent


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_gets_its_signal_when_its_parent_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    told, alive = tmp_path / "told", tmp_path / "alive"
    parent = os.fork()
    if parent == 0:
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, lambda *_: (told.write_text("SIGTERM"), os._exit(0)))
            die_with_parent(number)
            alive.write_text(str(os.getpid()))
            time.sleep(60)
        time.sleep(60)
        os._exit(0)
    deadline = time.monotonic() + 20
    while not (alive.exists() and alive.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child = int(alive.read_text())
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    while Path(f"/proc/{child}").exists() and " Z " not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < deadline, "the child outlives its parent"
        time.sleep(0.02)
    assert told.exists() == (number == signal.SIGTERM)
