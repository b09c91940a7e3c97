"""What a set of drift densities is made by, written before its first block: two sets with equal headers are equal."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segfield import densities
from segfield.densities import BLOCKS, COUNTS
from segfield.drift.advect import require
from segfield.drift.protocol import Protocol
from segfield.files import write_text

HEADER = "protocol.json"
_OURS = (HEADER, "lock.json")  # the lock is of the command that works here

Header = dict[str, Any]  # by section: protocol, reading, sources, versions


def header(protocol: Protocol, sources: list[tuple[str, str]], reading: dict[str, Any]) -> Header:
    """Return what a set is made by: two sets with equal headers have equal counts.

    Args:
        protocol: of the set.
        sources: names and hashes of the files.
        reading: how they were read: names, units, land.
    """
    versions = {"segfield": version("segfield"), "parcels": require()}
    files = [list(one) for one in sources]
    return {"protocol": protocol.to_json(), "reading": reading, "sources": files, "versions": versions}


def state(folder: Path, asked: Header, fields: Sequence[str] = ()) -> str:
    """Return whether the folder is new, begun, or holds the finished set; nothing is changed.

    Args:
        folder: of the set.
        asked: what it is to be made by.
        fields: that a finished set must still have.

    Raises:
        ValueError: if it holds a set that was made by something else, one that is damaged, or no set at all.
    """
    if (folder / COUNTS).is_file():
        again = f" To make the set again in its place, delete {folder} first."
        try:
            with densities.open_counts(folder) as found:
                sections = {name: json.loads(found.attrs[name]) for name in asked if name in found.attrs}
        except ValueError as error:
            raise ValueError(f"{error}{again}") from error
        _compare(folder, sections, asked, "holds a finished set")
        for name in fields:
            try:
                densities.open_field(folder, name).close()
            except ValueError as error:
                raise ValueError(f"{folder} holds this very set, but not whole: {error}{again}") from error
        return "finished"
    if any((folder / BLOCKS).glob("[0-9]*.npz")):
        try:
            sections = json.loads((folder / BLOCKS / HEADER).read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder / BLOCKS / HEADER} cannot be read: {error}. Delete {folder}.") from error
        _compare(folder, sections, asked, "holds a set in the making")
        return "begun"
    strange = [path.name for path in folder.iterdir() if path.name != BLOCKS] if folder.is_dir() else []
    if (folder / BLOCKS).is_dir():
        strange += [path.name for path in (folder / BLOCKS).iterdir() if path.name[0] != "." and path.name not in _OURS]
    if strange or (folder.exists() and not folder.is_dir()):
        raise ValueError(
            f"{folder} is not empty and holds no set of drift densities: {', '.join(sorted(strange)[:3]) or 'a file'}. "
            "Nothing was written. Use a new folder: out=<folder>."
        )
    return "new"


def make(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        ValueError: if that is impossible; the message says what to type.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder} cannot be made: {error.strerror}. Use another folder: out=<folder>.") from error


def claim(folder: Path, asked: Header) -> None:
    """Write the header; where there are blocks, state() has found it to be the same."""
    write_text(folder / BLOCKS / HEADER, json.dumps(asked, indent=2) + "\n")


def _hashes(files: Any) -> dict[str, str]:
    """Return the hashes of files by name; folders may hold files of one name."""
    found = dict[str, str]()
    for name, sha in sorted(map(tuple, files or [])):
        found[name] = f"{found[name]}, {sha[:12]}" if name in found else f"sha256 {sha[:12]}"
    return found


def _compare(folder: Path, found: Header, asked: Header, what: str) -> None:
    """Raise ValueError that shows the keys in which two headers differ."""
    lines = []
    for section, wanted in asked.items():
        there = found.get(section, {})
        if section == "sources":
            there, wanted = _hashes(there), _hashes(wanted)
        for key in dict.fromkeys([*there, *wanted]):
            one, other = there.get(key, "absent"), wanted.get(key, "absent")
            if one != other:
                lines.append(f"  {section} {key}: {json.dumps(one)} there, {json.dumps(other)} asked for")
    if lines:
        raise ValueError(
            f"{folder} {what} that differs:\n" + "\n".join(lines) + "\nNothing was changed. Use another folder "
            "(out=<folder>), or what is there."
        )
