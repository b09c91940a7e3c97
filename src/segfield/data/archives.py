"""Zip archives into a folder, once: names are judged before anything is written, a kill loses nothing.

Each file appears whole under its name; a marker tells that an archive is done. Deciding which archives, and fetching
them, is not done here.
"""

import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from segfield.files import clear_temporaries, write_text

Tick = Callable[[int, int], None]

_MARKERS = ".segfield-unpacked"
_JUNK = ("__MACOSX", "Thumbs.db", "desktop.ini")
_CHUNK = 2**20  # bytes that are unpacked at a time
_SPARE = 2**28  # bytes that are left free on the disk
# What zipfile lets through for damaged, encrypted or unknown content, besides BadZipFile.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, RuntimeError, ValueError)


def unpack(archive: Path, folder: Path, below: str = "", tick: Tick = lambda done, of: None) -> int:
    """Unpack a zip; files that are there already with their size are left, so the same call completes a killed one.

    Folders' own files of systems (__MACOSX, names that begin with a dot) are left out.

    Args:
        archive: to unpack.
        folder: takes the files.
        below: folder in `folder` that all files belong in, whether the archive's names begin with it or not.
        tick: called with the number of files that are there, and of all.

    Returns:
        How many files were written.

    Raises:
        ValueError: if the archive is damaged or none, or a name leads out of the folder; nothing is written then, or,
            where the damage is met later, what came before it.
        OSError: if there is too little room (both numbers are told), or the disk refuses.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            plan = _plan(archive, opened, folder, below)
            waiting = {path: info for path, info in plan.items() if not _is_there(path, info)}
            _check_room(archive, folder, sum(info.file_size for info in waiting.values()))
            for parent in {path.parent for path in plan}:
                parent.mkdir(parents=True, exist_ok=True)
                clear_temporaries(parent)
            tick(len(plan) - len(waiting), len(plan))
            for done, (path, info) in enumerate(waiting.items(), start=len(plan) - len(waiting) + 1):
                write_one(archive, opened, info, path)
                tick(done, len(plan))
    except zipfile.BadZipFile as error:
        raise ValueError(no_zip(archive, error)) from error
    os.sync()  # one for all files: one each would take longer than the unpacking
    marker = {"bytes": archive.stat().st_size, "files": len(plan)}
    write_text(folder / _MARKERS / f"{archive.name}.json", json.dumps(marker) + "\n")
    return len(waiting)


def is_unpacked(name: str, folder: Path, archive: Path | None = None) -> bool:
    """Tell whether an archive was unpacked whole into a folder.

    Args:
        name: of the archive.
        folder: that unpack() was given.
        archive: where it lies now; one of another size is another archive. None: it may be gone.
    """
    try:
        marker = json.loads((folder / _MARKERS / f"{name}.json").read_text())
        return archive is None or marker["bytes"] == archive.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _plan(archive: Path, opened: zipfile.ZipFile, folder: Path, below: str) -> dict[Path, zipfile.ZipInfo]:
    """Return the place of each file.

    Raises:
        ValueError: if a name leads out of the folder, or two files have one place.
    """
    plan: dict[Path, zipfile.ZipInfo] = {}
    for info in opened.infolist():
        name = info.filename.replace("\\", "/")
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or ":" in name or "\0" in name:
            raise ValueError(
                f"{archive} holds the name {info.filename!r}, which leads out of the folder. Nothing was unpacked: "
                "this is not the archive that it seems to be. Get it from its own source."
            )
        if info.is_dir() or not parts or any(part in _JUNK or part.startswith(".") for part in parts):
            continue
        inside = parts if not below or (len(parts) > 1 and parts[0] == below) else (below, *parts)
        if plan.setdefault(folder.joinpath(*inside), info) is not info:
            raise ValueError(f"{archive} holds {name} twice. Nothing was unpacked: download it again.")
    return plan


def _is_there(path: Path, info: zipfile.ZipInfo) -> bool:
    return path.is_file() and path.stat().st_size == info.file_size


def _check_room(archive: Path, folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder, needed, f"unpacking {archive.name}")


def check_room(folder: Path, needed: int, what: str) -> None:
    """Compare a number of bytes with what is free.

    Raises:
        OSError: if there is less.
    """
    free = shutil.disk_usage(folder).free
    if needed and needed + _SPARE > free:
        raise OSError(
            f"{folder} has {free / 1e9:.1f} GB free, {what} needs {(needed + _SPARE) / 1e9:.1f} GB. Make room, or "
            "choose a folder on another disk, and give the same command again."
        )


def write_one(archive: Path, opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    """Write one file of an archive whole; its folder is there.

    Raises:
        ValueError: if it is damaged, or encrypted.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with opened.open(info) as source, temporary.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
        temporary.replace(path)
    except _DAMAGE as error:
        if info.flag_bits & 1:
            raise ValueError(f"{archive} is encrypted. Unpack it yourself, with its password.") from error
        reason = str(error).rstrip(".")
        raise ValueError(
            f"{archive} is damaged at {info.filename}: {reason}. Download it again; what is unpacked already stays."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def no_zip(archive: Path, error: Exception | str) -> str:
    """Say what a file is that is no archive, and what to do."""
    with archive.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"PK"):
        return f"{archive} is damaged or cut short: {error}. Download it again."
    page = start.lstrip().lower().startswith((b"<!doctype", b"<html"))
    what = "a web page, the one to log in as a rule" if page else f"no zip archive, it begins with {start[:16]!r}"
    return f"{archive} is {what}. Download it again, logged in, in the browser."
