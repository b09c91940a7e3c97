"""Where a cache lies, whether there is room for it, and when memory is free again."""

import errno
import fcntl
import gc
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from segfield.data import cache_build, cache_folder


@pytest.mark.parametrize("cache", ["masks", "memory", "disk"])
def test_too_little_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str, carvana: Any
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 8, 10**3))  # type: ignore[attr-defined]
    data = carvana(cache)
    needed, where = {"masks": (1, "in "), "memory": (1, "of memory"), "disk": (1, "in ")}[cache]
    other = {"masks": "", "memory": r"data\.cache=masks, 1 MB, ", "disk": r"data\.cache=masks, 1 MB, "}[cache]
    last = r"data\.cache=disk" if cache == "memory" else r"data\.cache_dir=<folder on another disk>"
    message = (
        rf"data\.cache={cache} needs {needed} MB {where}.*for 8 samples, 1 MB are free\. Use {other}a smaller "
        rf"data\.size, now \[48,72\], or {last}\."
    )
    with pytest.raises(ValueError, match=message):
        data.decode()
    assert not list(tmp_path.rglob("*.bin"))


@pytest.mark.parametrize("place", ["a file", "below a file"])
def test_a_place_where_no_cache_can_be_written_is_named_with_others(tmp_path: Path, carvana: Any, place: str) -> None:
    (tmp_path / "caches").touch()
    folder = tmp_path / "caches" / ("" if place == "a file" else "below")
    message = (
        r"The data cache cannot be written to .*/caches/.*: (Not a directory|File exists)\. Use data\.cache_dir=<a f"
    )
    with pytest.raises(ValueError, match=message):
        carvana(cache_dir=str(folder)).decode()


def test_memory_is_free_again_when_the_last_one_leaves(memory: Path, carvana: Any, batches: Any) -> None:
    one, two = carvana("memory"), carvana("memory")
    assert batches(one)
    assert batches(two)
    (folder,) = memory.glob("*/carvana-*")
    assert folder.parent.name == f"segfield-{os.getuid()}"
    del one
    gc.collect()
    assert (folder / "meta.json").exists()
    del two
    gc.collect()
    assert not folder.exists()


def test_memory_that_a_killed_process_left_is_freed_by_the_next(
    memory: Path, caplog: pytest.LogCaptureFixture, carvana: Any
) -> None:
    left = memory / f"segfield-{os.getuid()}" / "carvana-1x1-0"
    left.mkdir(parents=True)
    (left / "lock").touch()
    (left / "image.bin").touch()
    with caplog.at_level(logging.INFO):
        carvana("memory").decode()
    assert not left.exists()
    assert f"deleting {left}, a data cache that nobody uses" in caplog.text


def test_a_system_without_shared_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, carvana: Any) -> None:
    monkeypatch.setattr(cache_folder, "SHARED_MEMORY", tmp_path / "none")
    with pytest.raises(ValueError, match=r"data\.cache=memory needs .*/none, memory that .*Use data\.cache=disk"):
        carvana("memory").decode()


def test_caches_lie_in_the_users_cache_unless_the_environment_names_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGFIELD_CACHE", raising=False)
    assert cache_folder.default_folder() == Path.home() / ".cache" / "segfield"
    monkeypatch.setenv("SEGFIELD_CACHE", "/disk")
    assert cache_folder.default_folder() == Path("/disk")


def test_a_folder_in_memory_that_is_another_users_is_refused(
    memory: Path, carvana: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (memory / "segfield-12345").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(ValueError, match=r"segfield-12345 is another user's\. Delete it, or use data\.cache=disk\."):
        carvana("memory").decode()


def test_where_the_file_system_has_no_locks_a_cache_is_built_all_the_same(
    carvana: Any, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(file: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    carvana().decode()
    carvana().decode()
    assert len(reads) == 8


def test_the_log_says_what_is_built_and_how_far_it_is(
    carvana: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_build, "_TOLD", 0.0)
    with caplog.at_level(logging.INFO):
        carvana().decode()
    assert "building the data cache" in caplog.text
    assert "8 samples, 1 MB" in caplog.text
    assert "data cache: 8 of 8 samples" in caplog.text
    assert "the data cache is whole after" in caplog.text
