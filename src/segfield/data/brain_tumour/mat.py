"""Fields of MATLAB files: v7.3, which is HDF5, by h5py; v5 by scipy. Which of the two is told by the content.

MATLAB writes v7.3 column by column: h5py shows the transpose, which is undone here.
Not here: what the fields mean (figshare.py).
"""

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from segfield.data.images import diagnosis

_HDF5 = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512  # of text before the HDF5 that MATLAB writes
_V5 = b"MATLAB 5.0 MAT-file"
_MOST = 2**27  # numbers of one field
# What h5py and scipy let through for damaged content.
_DAMAGE = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, EOFError, NotImplementedError, RuntimeError),
    *(struct.error, zlib.error, OverflowError, AttributeError, MemoryError),
)


class _UnfitError(ValueError):
    """A sound file that is not what is needed here."""


def fields(path: Path, names: Sequence[str], struct_name: str | None = None) -> dict[str, np.ndarray]:
    """Read arrays as MATLAB shows them: [rows, columns]. Text is codes of characters in v7.3, a string in v5.

    Args:
        path: of a .mat file, v5 or v7.3.
        names: of the fields; all must be there.
        struct_name: variable that holds them; None: they are variables themselves.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, something else, or lacks a field: what was found, and the fix.
    """
    try:
        read = _v73 if is_v73(path) else _v5
        return read(path, names, struct_name)
    except (FileNotFoundError, _UnfitError):
        raise
    except _DAMAGE as error:
        raise ValueError(diagnosis(path, error)) from error


def is_v73(path: Path) -> bool:
    """Tell v7.3 from v5 by the content.

    Raises:
        ValueError: if it is neither.
    """
    with path.open("rb") as file:
        start = file.read(_USER_BLOCK + len(_HDF5))
    if _HDF5 in (start[: len(_HDF5)], start[_USER_BLOCK:]):
        return True
    if start.startswith(_V5):
        return False
    if start[:32].isascii() and start.startswith(b"MATLAB 7.3"):
        raise ValueError("the text says MATLAB 7.3, but no HDF5 follows")
    if not start or start.startswith(b"version https://git-lfs"):
        raise ValueError("no MATLAB file")  # of which the diagnosis tells more
    raise _UnfitError(
        f"{path} is no MATLAB file of v5 or v7.3: it begins with {start[:16]!r}. Copy or download it again."
    )


def _v73(path: Path, names: Sequence[str], struct_name: str | None) -> dict[str, np.ndarray]:
    with h5py.File(path, "r", locking=False) as file:  # a lock fails on some read-only network disks
        holder = _node(file, struct_name, h5py.Group) if struct_name else file
        if holder is None:
            raise _UnfitError(_lacks(path, str(struct_name), _listed(file)))
        found = {}
        for name in names:
            dataset = _node(holder, name, h5py.Dataset)
            if dataset is None:
                raise _UnfitError(_lacks(path, name, _listed(holder), struct_name))
            _check_size(path, name, dataset.shape)
            found[name] = np.asarray(dataset[()]).T
    return found


def _node(holder: Any, name: str, kind: type) -> Any:
    """Return what a group holds under a name, if it is of that kind and in this file: a link may lead to others."""
    link = holder.get(name, getlink=True) if name in holder else None
    found = holder[name] if isinstance(link, h5py.HardLink) else None
    return found if isinstance(found, kind) else None


def _listed(holder: Any) -> Iterator[str]:
    return (name for name in holder if not name.startswith("#"))  # #refs#: MATLAB's own


def _v5(path: Path, names: Sequence[str], struct_name: str | None) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        wanted = [struct_name] if struct_name else list(names)
        content = scipy.io.loadmat(file, variable_names=wanted, struct_as_record=True)
        if struct_name:
            holder = content.get(struct_name)
            if holder is None or holder.dtype.names is None or holder.size != 1:
                file.seek(0)
                raise _UnfitError(_lacks(path, struct_name, (name for name, *_ in scipy.io.whosmat(file))))
            content = {name: holder[name].item() for name in holder.dtype.names}
        lacking = [name for name in names if name not in content]
        if lacking:
            file.seek(0)
            held = content if struct_name else (name for name, *_ in scipy.io.whosmat(file))
            raise _UnfitError(_lacks(path, lacking[0], held, struct_name))
    return {name: np.asarray(content[name]) for name in names}


def _check_size(path: Path, name: str, shape: Sequence[int]) -> None:
    if np.prod([float(side) for side in shape]) > _MOST:
        raise _UnfitError(f"{path}: {name} has {'x'.join(map(str, shape))} numbers; at most {_MOST} are read at once.")


def _lacks(path: Path, name: str, held: Mapping[str, Any] | Iterator[str], struct_name: str | None = None) -> str:
    found = ", ".join(sorted(held)) or "nothing"
    inside = f"{struct_name} " if struct_name else ""
    return (
        f"{path}: expected {inside}to hold {name}, found {found}."
        if inside
        else f"{path}: expected {name}, found {found}."
    )
