"""A run writes inside its own folder only: what in a config, and which links in a folder, would lead elsewhere.

Nothing is imported and nothing is resolved here, so it may be asked before anything else is done with what others sent.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from segfield.run.placement import FOLDERS

_DEEPEST, _MOST = 32, 100_000  # of a config; beyond it is made to exhaust memory
_NO_PATHS = ("data.group_pattern",)  # a regular expression
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|.*::", re.DOTALL)  # file:x, C:\x, s3://x, fsspec's cache::x
# Lightning formats file names: {epoch:/>9} makes an absolute path of a number, {epoch.__doc__:.<2.0} makes "..".
_FIELD = re.compile(r"\{[A-Za-z][\w/-]*(:[0-9]*(\.[0-9]+)?[defg]?)?\}")


def nodes(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every node of nested mappings and lists: the inner ones too, the root first.

    Raises:
        ValueError: if a node holds itself (a YAML alias can), or there are too many.
    """
    waiting, count = [("", config, 0)], 0
    while waiting:
        key, value, depth = waiting.pop()
        yield key, value
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        waiting.extend((f"{key}.{name}" if key else str(name), child, depth + 1) for name, child in children)
        count += 1
        if depth > _DEEPEST or count + len(waiting) > _MOST:
            raise ValueError(
                f"The config is nested deeper than {_DEEPEST} levels or holds more than {_MOST} values ({key[:80]}): "
                "no experiment needs that. Write it without YAML aliases."
            )


def paths_outside(config: dict[str, Any]) -> list[str]:
    """Find paths that lead out of the run folder, and what would be resolved at execution; only data lies elsewhere.

    Every string counts, keys of mappings too: which argument of a library class is a path is known to that class alone.
    """
    try:
        found = list(nodes(config))
    except ValueError as error:
        return [str(error)]
    errors: list[str] = []
    for key, value in found:
        if key in FOLDERS or key in _NO_PATHS or key.rpartition(".")[2] == "_target_":
            words = []
        elif isinstance(value, dict):
            words = [name for name in value if isinstance(name, str)]
        else:
            words = [value] if isinstance(value, str) else []
        errors.extend(f"{key}={_shown(word)} {what}" for word in words if (what := _harm(word)))
    return errors


def _harm(word: str) -> str:
    """Say what is wrong with a string of a config and what to write; nothing where it is fine."""
    if "${" in word:
        return "is an interpolation: a frozen config holds values. Write the value."
    path = word.replace("\\", "/")
    out = path.startswith(("/", "~")) or ".." in PurePosixPath(path).parts or _ADDRESS.match(word)
    if out or "$" in word or "\0" in word:  # TensorBoardLogger expands $HOME
        return (
            "leads out of the run folder: a run writes inside its own folder only. Use a relative path without '..', "
            "'~', '$' or an address, or choose the folder with hydra.run.dir=<folder>."
        )
    if "{" in _FIELD.sub("", word) or "}" in _FIELD.sub("", word):
        return "has a field that can write any character. Use {name} or {name:.3f}."
    return ""


def links_outside(folder: Path) -> list[str]:
    """Find symbolic links in a run folder that lead out of it, dangling ones and links to links too.

    A link to the folder, or to one above it, is the user's own and is followed.
    """
    inside = folder.resolve()
    errors = []
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in sorted(folders + files)):
            if not path.is_symlink():
                continue
            try:
                target = path.resolve()
            except (OSError, RuntimeError):  # a ring of links
                target = Path(path.anchor)
            if not target.is_relative_to(inside):
                errors.append(
                    f"{path} is a link that leads out of the run folder: a run writes inside its own folder only. "
                    "Replace it by what it names, or move the whole folder there and link the folder."
                )
    return errors


@contextlib.contextmanager
def apart(folder: Path) -> Iterator[None]:
    """Let nothing be imported from a run folder: what others sent may hold a yaml.py.

    A relative entry of sys.path, as notebooks have it, would mean the folder as soon as the run works inside of it.
    """
    before, inside = sys.path[:], folder.resolve()
    places = [Path(entry).absolute() for entry in before]
    sys.path[:] = [str(place) for place in places if not place.resolve().is_relative_to(inside)]
    try:
        yield
    finally:
        sys.path[:] = before


def _shown(word: str) -> str:
    text = word if word.isprintable() else repr(word)
    return text if len(text) <= 200 else f"{text[:200]}..."
