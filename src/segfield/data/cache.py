"""Decode once: the arrays of all samples at the working size, each kind in one file that is mapped into memory.

A cache is a folder named by a key of the files' hashes and of everything else that reading depends on. It exists from
the moment its meta.json is there, which is written last. Who builds it and who waits:
cache_folder.py; what is written: cache_build.py.
"""

import contextlib
import dataclasses
import errno
import hashlib
import inspect
import json
import mmap
import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import PIL

from segfield.data import cache_folder
from segfield.data.cache_build import FORMAT, META, Arrays, Builder, Layout, bytes_of
from segfield.data.fingerprint import Row
from segfield.data.settings import Settings

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
# Fields that no sample's arrays depend on.
_FREE = {"mean", "std", "batch_size", "num_workers", "seed", "colours", "cache", "cache_dir", "on_error"}
_FREE |= {"split", "split_file", "split_seed", "balance", "test_fraction", "val_fraction", "folds", "fold"}
_FREE |= {"sample_fraction", "root", "images", "masks"}


def key_of(how: Settings, ids: Iterable[str], rows: Sequence[Row], statistics: Mapping[str, np.ndarray]) -> str:
    """Return the name of a cache: a hash of files, settings and the code that reads.

    Args:
        how: a data module.
        ids: of the samples in use, in their order.
        rows: of their fingerprint.
        statistics: of the training part, that reading uses.
    """
    settings = {
        field.name: getattr(how, field.name)
        for field in dataclasses.fields(how)
        if field.init and field.name not in _FREE
    }
    kind = f"{type(how).__module__}.{type(how).__qualname__}"
    learned = {name: hashlib.sha256(value.tobytes()).hexdigest() for name, value in statistics.items()}
    what = [FORMAT, kind, settings, _code(type(how)), PIL.__version__, how.cache == "masks", list(ids), list(rows)]
    what += [learned] if learned else []
    digest = hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()
    assert how.size is not None, "settings.py refuses it"
    return f"{type(how).__name__.lower()}-{how.size[0]}x{how.size[1]}-{digest[:24]}"


def _code(kind: type) -> str:
    """Return a hash of a data module's file and of all modules of this room: another decoder may give other pixels."""
    digest = hashlib.sha256()
    for path in [*sorted(Path(__file__).parent.rglob("*.py")), Path(inspect.getfile(kind))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


@final
class Cache:
    """Arrays of samples by their index. A pickled one maps its files again.

    Args:
        folder: whole.
        meta: of the folder.
    """

    def __init__(self, folder: Path, meta: Mapping[str, Any]) -> None:
        self.folder = folder
        self.layout: Layout = {name: (dtype, tuple(shape)) for name, (dtype, shape) in meta["arrays"].items()}
        self.unreadable: dict[str, str] = dict(meta["unreadable"])  # why, by id
        self._count = int(meta["samples"])
        self._arrays = self._mapped()

    def arrays(self, index: int) -> Arrays:
        """Return a sample's arrays, in memory that all processes share; one that is written to is copied first."""
        return {name: array[index] for name, array in self._arrays.items()}

    def _mapped(self) -> Arrays:
        found = {}
        for name, (dtype, shape) in self.layout.items():
            with (self.folder / f"{name}.bin").open("rb") as file:
                # Private: nobody's slip reaches the file. Without a reserve it may be larger than the memory.
                flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0)
                held = mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
            found[name] = np.frombuffer(held, dtype).reshape(self._count, *shape)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_arrays"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._arrays = self._mapped()


def opened(how: Settings, ids: Sequence[str], key: str, read: Callable[[int], Arrays]) -> Cache:
    """Return the cache of some samples, built where it is not there yet or not whole.

    Args:
        how: a data module.
        ids: of the samples.
        key: of key_of().
        read: gives a sample's arrays by its index; called in several threads.

    Raises:
        ValueError: if there is no room for it; how much it needs and how much there is. Whatever read() raises, too.
    """
    in_memory = how.cache == "memory"
    if in_memory:
        place = cache_folder.memory_folder()
    else:
        place = Path(how.cache_dir) if how.cache_dir else cache_folder.default_folder()
    folder = place / key
    if in_memory:
        cache_folder.clear_left(place, folder)
    builder = Builder(how, ids, folder, read)
    try:
        cache, file = cache_folder.taken(folder, lambda: _found(folder, len(ids)), builder.build)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise ValueError(
            f"The data cache cannot be written to {folder}: {error.strerror}. Use data.cache_dir=<a folder of your "
            "own>, $SEGFIELD_CACHE, or data.cache=none."
        ) from error
    if in_memory:
        weakref.finalize(cache, cache_folder.leave, folder, file, os.getpid())
    else:
        os.close(file)
    return cache


def _found(folder: Path, samples: int) -> Cache | None:
    """Open a cache; None where it is not whole."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        meta = json.loads((folder / META).read_text())
        if meta["format"] == FORMAT and meta["samples"] == samples:
            sizes = {name: samples * bytes_of(tuple(one)) for name, one in meta["arrays"].items()}
            if all((folder / f"{name}.bin").stat().st_size == size for name, size in sizes.items()):
                return Cache(folder, meta)
    return None
