"""Where a cache lies, whether there is room for it, and when memory is free again."""

import gc
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from segfield.data import cache_folder


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
