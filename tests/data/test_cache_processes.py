"""Several processes and one cache: who builds it, who waits, and what a kill leaves."""

import logging
import os
import signal
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.data import cache_folder
from segfield.data.carvana import Carvana


def forked(work: Callable[[], Any]) -> int:
    """Start a process that does some work and ends with code 0."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def slowly(monkeypatch: pytest.MonkeyPatch, log: Path, seconds: float) -> None:
    """Note each sample that any process reads, and take some time for it."""
    read = Carvana.read

    def noted(self: Carvana, sample: Any, size: Any) -> Any:
        with log.open("a") as file:
            file.write(f"{sample.id}\n")
        time.sleep(seconds)
        return read(self, sample, size)

    monkeypatch.setattr(Carvana, "read", noted)


@pytest.mark.parametrize("cache", ["disk", "memory"])
def test_of_processes_that_start_at_once_one_builds_the_cache_and_the_others_wait(
    tmp_path: Path, carvana: Any, same: Any, batches: Any, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    plain = batches(carvana("none"))
    slowly(monkeypatch, tmp_path / "reads", 0.03)
    monkeypatch.setattr(cache_folder, "_FIRST_WORD", 0.1)

    def work() -> None:
        logging.basicConfig(filename=tmp_path / "log", level=logging.INFO, force=True)
        assert same(batches(carvana(cache, num_workers=1)), plain)

    assert [ended(child) for child in [forked(work) for _ in range(3)]] == [0, 0, 0]
    assert len((tmp_path / "reads").read_text().splitlines()) == 8
    assert "waiting for another process to build the data cache" in (tmp_path / "log").read_text()


def test_a_cache_cut_short_by_a_kill_is_built_again(
    tmp_path: Path, carvana: Any, same: Any, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, reads = batches(carvana("none")), tmp_path / "reads"
    with monkeypatch.context() as slow:
        slowly(slow, reads, 0.1)
        child = forked(lambda: carvana().decode())
        while not reads.exists() or len(reads.read_text().splitlines()) < 4:
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
    assert ended(child) == -signal.SIGKILL
    (folder,) = (tmp_path / "caches").iterdir()
    names = {path.name for path in folder.iterdir()}
    assert names == {"lock", f".image.bin.{child}.tmp", f".target.bin.{child}.tmp"}
    assert same(batches(carvana()), plain)
    assert {path.name for path in folder.iterdir()} == {"lock", "meta.json", "image.bin", "target.bin"}


def test_memory_stays_while_another_process_uses_it_and_goes_with_the_last(memory: Path, carvana: Any) -> None:
    ready, go = os.pipe(), os.pipe()

    def work() -> None:
        data = carvana("memory")
        data.decode()
        os.write(ready[1], b"1")
        os.read(go[0], 1)
        weakref.finalize._exitfunc()  # type: ignore[attr-defined]  # as at the end of an interpreter

    child = forked(work)
    os.read(ready[0], 1)
    first = carvana("memory")
    first.decode()
    (folder,) = memory.glob("*/carvana-*")
    os.write(go[1], b"1")
    assert ended(child) == 0
    assert (folder / "meta.json").exists()

    def last() -> None:
        first._items._cache = None  # gone with the process that opened it, not with its forks
        weakref.finalize._exitfunc()  # type: ignore[attr-defined]  # as at the end of an interpreter

    assert ended(forked(last)) == 0
    assert (folder / "meta.json").exists()
    first._items._cache = None
    assert not folder.exists()


def test_memory_that_was_killed_with_its_user_serves_the_next_one(
    tmp_path: Path, memory: Path, carvana: Any, reads: list[str]
) -> None:
    def work() -> None:
        data = carvana("memory")
        data.decode()
        os.kill(os.getpid(), signal.SIGKILL)

    assert ended(forked(work)) == -signal.SIGKILL
    carvana("memory").decode()
    assert reads == []
