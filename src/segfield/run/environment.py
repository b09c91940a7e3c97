"""environment.yaml: where, when and with what a run was executed; one entry per execution."""

import copy
import hashlib
import logging
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

import segfield
from segfield.files import write_text
from segfield.run.placement import FOLDERS, KEYS, PROJECT, leaves, placed

_log = logging.getLogger(__name__)
NAME = "environment.yaml"
_PACKAGES = (
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "segmentation-models-pytorch",
    "timm",
    "numpy",
    "Pillow",
    "tensorboard",
)


def record(config: dict[str, Any], step: int) -> None:
    """Append this execution to environment.yaml of the current folder, before its first step.

    Args:
        config: as executed, with placement.
        step: the optimiser's step that the execution starts from.
    """
    import torch

    entries = own_entries()
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    entry = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "from_step": step,
        "command": _command(),
        **_git(len(entries)),
        "code_sha256": _code(),
        "python": platform.python_version(),
        "packages": _versions(),
        "platform": platform.platform(),
        "host": platform.node(),
        "devices": devices or ["cpu"],
        "processor": {"capability": torch.backends.cpu.get_cpu_capability(), "cores": os.cpu_count()},
        "placement": {key: value for key, value in leaves(config) if key in KEYS},
        "splits_sha256": hashlib.sha256(Path("splits.csv").read_bytes()).hexdigest(),
    }
    write_text(NAME, yaml.safe_dump([*entries, entry], sort_keys=False))


def read_environment(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of environment.yaml, the oldest first; none where there is no such file.

    Raises:
        ValueError: if it is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return []
    try:
        entries = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError):
        entries = None
    if isinstance(entries, list) and all(_is_entry(entry) for entry in entries):
        return entries
    raise ValueError(
        f"{path} is damaged: expected a list with an entry per execution. Restore it from a copy of the run."
    )


def _is_entry(entry: Any) -> bool:
    groups = ("placement", "processor", "packages")
    return isinstance(entry, dict) and all(isinstance(entry.get(name) or {}, dict) for name in groups)


def own_entries() -> list[dict[str, Any]]:
    """Return the entries of the current folder, for the execution that adds one; a damaged file is put aside."""
    try:
        return read_environment(Path.cwd())
    except ValueError as error:
        aside = Path(f"{NAME}.damaged")
        Path(NAME).replace(aside)
        _log.warning("%s It is put aside as %s; what it said of earlier executions is lost here", error, aside)
        return []


def as_executed(config: dict[str, Any], entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the config with the last execution's placement, its threads above all: a saved experiment holds none.

    Data that was looked for in its default place is looked for there again, wherever that is now.
    """
    config = copy.deepcopy(config)
    last = entries[-1] if entries else {}
    for key, value in (last.get("placement") or {}).items():
        group, _, name = key.rpartition(".")
        node = config.get(group) if group else config
        if key not in KEYS or not isinstance(node, dict) or name not in node:
            continue
        if key not in FOLDERS or node[name] is not None:
            node[name] = value
    return placed(config)


def _code() -> str:
    """Return the sha256 of the package's source files: a commit that changes documents only keeps it."""
    found = hashlib.sha256()
    package = Path(segfield.__file__).parent
    for path in sorted(package.rglob("*.py")):
        found.update(f"{path.relative_to(package).as_posix()}\n".encode() + path.read_bytes())
    return found.hexdigest()


def _command() -> str:
    """Return the command line; the run folder's own place, which may change, is left out."""
    program = Path(sys.argv[0])
    first = ["python", "-m", "segfield"] if program.name == "__main__.py" else ["python", program.name]
    place = str(Path.cwd())
    words = [word.replace(place, "<run folder>") for word in sys.argv[1:]]
    return " ".join([*first, *(shlex.quote(word) for word in words)])


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git(execution: int) -> dict[str, Any]:
    """Return the project's commit, the patch file beside when the tree is dirty, and the files git does not know."""
    commit = _run("rev-parse", "HEAD")
    if not commit:
        return {"commit": None, "patch": None, "untracked": []}
    patch, untracked = _run("diff", "--binary", "HEAD"), _run("ls-files", "--others", "--exclude-standard")
    name = f"uncommitted.{execution}.patch" if patch else None
    if patch and name:
        write_text(name, patch)
    return {"commit": commit.strip(), "patch": name, "untracked": (untracked or "").splitlines()}


def _run(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(PROJECT), *arguments], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode(errors="replace")
