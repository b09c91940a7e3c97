"""A run writes inside its own folder only, and no file twice: what in a config or in a folder would break that.

Nothing is imported and nothing is resolved here, so it may be asked before anything else is done with what others sent.
"""

import contextlib
import os
import posixpath
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from segfield.run.placement import FILES, FOLDERS

_DEEPEST, _MOST = 32, 100_000  # of a config; beyond it is made to exhaust memory
_NO_PATHS = ("data.group_pattern",)  # a regular expression
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|.*::", re.DOTALL)  # file:x, C:\x, s3://x, fsspec's cache::x
# Lightning formats file names: {epoch:/>9} makes an absolute path of a number, {epoch.__doc__:.<2.0} makes "..".
_FIELD = re.compile(r"\{[A-Za-z][\w/-]*(:[0-9]*(\.[0-9]+)?[defg]?)?\}")

_CHECKPOINT, _CSV = "pytorch_lightning.callbacks.ModelCheckpoint", "pytorch_lightning.loggers.CSVLogger"
_TENSORBOARD = "segfield.callbacks.tensorboard.TensorBoard"
# The run's own files, and those of the classes that write them: default path by class.
_RUNS = (
    *(".hydra", "config.yaml", "status.json", "lock.json", "environment.yaml", "splits.csv", "data.csv", "parent.yaml"),
    *("statistics.npz", "weights.sha256", "verdict.json", "log.txt", "console.txt", "checkpoints/previous.ckpt"),
)
_FILES = {
    "segfield.callbacks.trace.Trace": "trace.csv",
    "segfield.callbacks.metrics_csv.MetricsCsv": "metrics.csv",
    "segfield.callbacks.prune.Prune": "prune.csv",
    "segfield.callbacks.rollout.Rollout": "rollout.csv",
    "segfield.callbacks.last_checkpoint.LastCheckpoint": "checkpoints/last.ckpt",
}
_OWNERS = {path: target for target, path in _FILES.items()} | {"checkpoints/best.ckpt": _CHECKPOINT}
_FOLDERS = (".", "checkpoints", "tensorboard")


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
    """Find paths that lead out of the run folder or name its own files, and what would be resolved at execution.

    Only data lies elsewhere.

    Every string counts, keys of mappings too: which argument of a library class is a path is known to that class alone.
    """
    try:
        found = list(nodes(config))
    except ValueError as error:
        return [str(error)]
    errors: list[str] = []
    every = dict(found)
    for key, value in found:
        parent = every.get(key.rpartition(".")[0])
        target = _target(parent) if isinstance(parent, dict) and key.endswith(".path") else ""
        if key in (*FOLDERS, *FILES, *_NO_PATHS) or key.rpartition(".")[2] == "_target_":
            words = []
        elif isinstance(value, dict):
            words = [name for name in value if isinstance(name, str)]
        else:
            words = [value] if isinstance(value, str) else []
        errors.extend(f"{key}={_shown(word)} {what}" for word in words if (what := _harm(word) or _taken(word, target)))
    return errors + list(_overwritten(found))


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


def _plain(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/")).casefold()  # some file systems know no case


def _target(node: dict[str, Any]) -> str:
    target = node.get("_target_")
    return target if isinstance(target, str) else ""


def _taken(path: str, target: str) -> str:
    """Say that a path is a file of the run, or lies below one; to its own class nothing."""
    plain = _plain(path)
    for name in (*_RUNS, *_OWNERS):
        if plain.startswith(f"{name}/") or (plain == name and _OWNERS.get(name, "nobody") != target):
            return "is the run's own. Choose another name."
    return ""


def _written(node: dict[str, Any]) -> tuple[str, str] | None:
    """Return (argument, path) of the file, or folder of events, that a node's class writes."""
    target, words = _target(node), {name: value for name, value in node.items() if isinstance(value, str)}
    if target in _FILES or target == _TENSORBOARD:
        return "path", words.get("path", _FILES.get(target, "tensorboard"))
    if target == _CHECKPOINT and "filename" in words:
        return "filename", f"{words.get('dirpath', 'checkpoints')}/{words['filename']}.ckpt"
    if target == _CSV:
        folders = (words.get("save_dir", "."), words.get("name", "lightning_logs"), words.get("version", "version_0"))
        return "save_dir", "/".join((*(folder or "." for folder in folders), "metrics.csv"))
    return None


def _overwritten(found: list[tuple[str, Any]]) -> Iterator[str]:
    """Yield nodes that would write, by several of their keys, a file of the run, or a file of another node."""
    owners: dict[str, str] = {}
    for key, node in reversed(found):  # in the order of the config
        if not isinstance(node, dict) or (written := _written(node)) is None:
            continue
        name, path = written
        plain = _plain(path)
        if what := _taken(path, node["_target_"]):
            if node.get(name) != path:  # else it is told already
                yield f"{key}.{name} makes {_shown(path)}, which {what}"
        elif plain in _FOLDERS and node["_target_"] != _TENSORBOARD:
            yield f"{key}.{name}={_shown(path)} is a folder, expected the name of a file."
        elif plain in owners:
            yield f"{key}.{name} makes {_shown(path)}, as {owners[plain]} does. Choose another {name}."
        else:
            owners[plain] = key


def links_outside(folder: Path) -> list[str]:
    """Find symbolic links in a run folder that lead out of it, dangling ones and links to links too.

    And what is neither file nor folder: to open a pipe waits for ever. A link to the folder, or to one above it, is the
    user's own and is followed.
    """
    inside = folder.resolve()
    errors = []
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in sorted(folders + files)):
            kind = path.lstat().st_mode
            if not stat.S_ISLNK(kind):
                if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
                    errors.append(f"{path} is neither a file nor a folder nor a link: no run holds that. Remove it.")
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
