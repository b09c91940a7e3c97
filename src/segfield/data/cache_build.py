"""How a cache is filled: every sample is read once, by several threads, and meta.json is written last.

Not here: what the folder is named by and how it is read (cache.py), who may write to it (cache_folder.py).
"""

import contextlib
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, final

import numpy as np

from segfield.data import cache_folder
from segfield.data.settings import Settings
from segfield.files import clear_temporaries, whole, write_text

Arrays = dict[str, np.ndarray]
Layout = dict[str, tuple[str, tuple[int, ...]]]  # dtype and shape of a sample's arrays

META, FORMAT = "meta.json", 1
_TOLD = 10.0  # [s] between two words on how far the building is

_log = logging.getLogger(__name__)


def layout_of(arrays: Arrays) -> Layout:
    """Return dtype and shape of a sample's arrays."""
    return {name: (array.dtype.str, array.shape) for name, array in arrays.items()}


def bytes_of(one: tuple[str, Sequence[int]]) -> int:
    """Return the size of an array of a layout."""
    return np.dtype(one[0]).itemsize * math.prod(one[1])


@final
class Builder:
    """Fill a folder with the arrays of all samples."""

    def __init__(self, how: Settings, ids: Sequence[str], folder: Path, read: Callable[[int], Arrays]) -> None:
        self._how, self._ids, self._folder, self._read = how, ids, folder, read
        self._unreadable: dict[str, str] = {}
        self._layout: Layout = {}
        self._files: dict[str, BinaryIO] = {}
        self._done, self._told = 0, time.monotonic()

    def build(self) -> None:
        """Read every sample once and write the files, meta.json last.

        Raises:
            ValueError: if there is no room.
        """
        clear_temporaries(self._folder)
        (self._folder / META).unlink(missing_ok=True)
        self._unreadable, self._done, self._told = {}, 0, time.monotonic()
        start = time.monotonic()
        number, arrays = self._first()
        self._layout = layout_of(arrays)
        self._check_room()
        _log.info("building the data cache %s: %d samples, %s", self._folder, len(self._ids), _mb(self._needed()))
        with contextlib.ExitStack() as files:
            for name in self._layout:
                self._files[name] = files.enter_context(whole(self._folder / f"{name}.bin"))
                self._files[name].truncate(len(self._ids) * bytes_of(self._layout[name]))
            self._put(number, arrays)
            threads = ThreadPoolExecutor(max(1, self._how.num_workers))
            try:
                for _ in threads.map(self._one, range(number + 1, len(self._ids))):
                    self._tell()
            finally:
                threads.shutdown(cancel_futures=True)
        meta = {"format": FORMAT, "samples": len(self._ids), "arrays": self._layout, "unreadable": self._unreadable}
        write_text(self._folder / META, json.dumps(meta, indent=2) + "\n")
        _log.info("the data cache is whole after %.1f s", time.monotonic() - start)

    def _first(self) -> tuple[int, Arrays]:
        """Read the first sample that can be read."""
        for number in range(len(self._ids)):
            if arrays := self._arrays(number):
                return number, arrays
        id_, why = next(iter(self._unreadable.items()))
        raise ValueError(f"None of {len(self._ids)} samples can be read, the first is {id_}: {why}")

    def _arrays(self, number: int) -> Arrays | None:
        """Read a sample; None where it cannot be, and is to be left out."""
        try:
            arrays = self._read(number)
        except (ValueError, OSError) as error:
            if self._how.on_error != "skip":
                raise
            self._unreadable[self._ids[number]] = str(error)
            return None
        return {name: array for name, array in arrays.items() if name != "image" or self._how.cache != "masks"}

    def _one(self, number: int) -> None:
        if arrays := self._arrays(number):
            self._put(number, arrays)

    def _put(self, number: int, arrays: Arrays) -> None:
        if layout_of(arrays) != self._layout:
            raise ValueError(
                f"A cache holds samples of one kind: the first has {_shown(self._layout)}, {self._ids[number]} has "
                f"{_shown(layout_of(arrays))}. Use data.cache=none."
            )
        for name, array in arrays.items():
            content, place = memoryview(np.ascontiguousarray(array).data).cast("B"), number * array.nbytes
            while content:
                written = os.pwrite(self._files[name].fileno(), content, place)
                content, place = content[written:], place + written

    def _tell(self) -> None:
        self._done += 1
        if time.monotonic() - self._told > _TOLD:
            self._told = time.monotonic()
            _log.info("data cache: %d of %d samples", self._done, len(self._ids))

    def _needed(self, *names: str) -> int:
        return len(self._ids) * sum(bytes_of(one) for name, one in self._layout.items() if not names or name in names)

    def _check_room(self) -> None:
        """Refuse to begin what cannot end."""
        needed, in_memory = self._needed(), self._how.cache == "memory"
        free = cache_folder.free_memory() if in_memory else shutil.disk_usage(self._folder).free
        if needed <= free:
            return
        assert self._how.size is not None, "settings.py refuses it"
        fixes = [f"a smaller data.size, now [{self._how.size[0]},{self._how.size[1]}]"]
        if self._how.cache != "masks":
            fixes.insert(0, f"data.cache=masks, {_mb(needed - self._needed('image'))}")
        fixes.append("data.cache=disk" if in_memory else "data.cache_dir=<folder on another disk>")
        where = "of memory" if in_memory else f"in {self._folder.parent}"
        raise ValueError(
            f"data.cache={self._how.cache} needs {_mb(needed)} {where} for {len(self._ids):,} samples, {_mb(free)} are "
            f"free. Use {', '.join(fixes[:-1])}, or {fixes[-1]}."
        )


def _mb(count: int) -> str:
    return f"{math.ceil(count / 1e6):,} MB"


def _shown(layout: Layout) -> str:
    return ", ".join(f"{name} {np.dtype(dtype)} {list(shape)}" for name, (dtype, shape) in layout.items())
