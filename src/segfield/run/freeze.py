"""Write a run folder: config.yaml, resolved and self-sufficient, and Hydra's own record. Nothing is overwritten."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from segfield.files import write_new, write_text
from segfield.run.frozen import BROKEN, plain
from segfield.run.inside import links_outside, nodes, paths_outside
from segfield.run.placement import absolute, difference
from segfield.run.status import NAME as STATUS
from segfield.run.whitelist import refused

CONFIG = "config.yaml"
NEEDED = ("model", "loss", "metrics", "optimizer", "data", "task", "trainer")
OPTIONAL = ("head", "scheduler", "augmentation", "ranks")
SEVERAL = ("callbacks", "logger")  # groups of nodes by name
# May stand before config.yaml does.
_EARLIER = {CONFIG, STATUS, "lock.json", "splits.csv", "statistics.npz", "parent.yaml", ".hydra"}


def load(folder: str | Path) -> dict[str, Any]:
    """Read a frozen config: what the code reads by name is there, and nothing in it or beside it leads elsewhere.

    Raises:
        FileNotFoundError: if the folder is no run folder.
        ValueError: if its config.yaml is damaged or may not be executed; the message lists every key that is wrong.
    """
    folder = Path(folder)
    if links := links_outside(folder):  # before anything is opened: a pipe would wait for ever
        raise ValueError("\n".join(links))
    config = _read(folder)
    errors = [*_misfits(config), *refused(config), *paths_outside(config)]
    if errors:
        lines = "\n".join(f"- {error}" for error in errors)
        raise ValueError(f"{folder / CONFIG} is no frozen config:\n{lines}\nRestore it from a copy of the run.")
    return config


def _read(folder: str | Path) -> dict[str, Any]:
    path = Path(folder) / CONFIG
    if (path.parent / "sweep.yaml").exists():
        raise FileNotFoundError(f"{path.parent} is a sweep: name one of its runs, for example {path.parent / '0'}.")
    if not path.exists():
        raise FileNotFoundError(
            f"{Path(folder).absolute()} is no run folder: it has no {CONFIG}. Name a folder that train.py made, "
            "for example outputs/unet_small_blobs/<time>, or outputs/sweeps/<time> where sweeps go on."
        )
    try:
        config = plain(path.read_bytes())
    except BROKEN as error:
        raise ValueError(f"{path} is no YAML: {error}. Restore it from a copy of the run.") from error
    if not isinstance(config, dict):
        raise ValueError(
            f"{path} is no frozen config: expected groups such as data: and trainer:, found {config!r:.80}. "
            "Restore it from a copy, or make one with train.py."
        )
    for _ in nodes(config):  # refuses what never ends
        pass
    return config


def _misfits(config: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the keys that are read by name; arguments are their class's affair."""
    for name, least in (("seed", 0), ("threads", 1)):
        value = config.get(name)
        if (type(value) is not int or value < least) and (name, value) != ("threads", None):  # null: this machine's
            yield f"{name} must be a whole number, {least} or more, found {value!r:.80}"
    for name in (*NEEDED, *OPTIONAL):
        if name in NEEDED or config.get(name) is not None:
            yield from _misfit(name, config.get(name))
    for name in SEVERAL:
        group = config.get(name)
        if group is not None and not isinstance(group, dict):
            yield f"{name} must be a mapping or null, found {group!r:.80}"
        elif group:
            for key, node in group.items():
                if node is not None:
                    yield from _misfit(f"{name}.{key}", node)


def _misfit(name: str, node: Any) -> Iterator[str]:
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        yield f"{name} must be a mapping with _target_, found {node!r:.80}"


def freeze(config: dict[str, Any], folder: Path, record: dict[str, str] | None = None) -> None:
    """Write the run folder, or find that it stands there already with the same config.

    Of two processes that freeze the same folder at once, one wins; the other finds the winner's config.

    Args:
        config: resolved.
        folder: of the run; made if absent.
        record: texts of the files of .hydra/ by name.

    Raises:
        ValueError: if another config stands there, or what is no run; nothing is changed then.
    """
    _refuse_a_full_folder(folder)
    config = absolute(config, typed=())
    header = f"# Frozen by segfield. Run or continue it: python -m segfield execute {folder.name}\n"
    text = header + yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    # First, and whoever comes second is told: of several that freeze here at once one writes the rest.
    if not (folder / CONFIG).exists() and write_new(folder / CONFIG, text):
        for name, content in (record or {}).items():
            write_text(folder / ".hydra" / name, content)
        write_new(folder / STATUS, json.dumps({"state": "planned"}) + "\n")  # it may be executed already
    elif changed := difference(_read(folder), config):
        lines = "\n".join(f"  {key}: {old!r} there, {new!r} now" for key, (old, new) in changed.items())
        raise ValueError(
            f"{folder} holds another run; these keys differ:\n{lines}\n"
            "Nothing was changed. Choose another folder, or give the same values to continue that run."
        )


def _refuse_a_full_folder(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    strangers = [
        name for name in names if name not in _EARLIER and not (name.startswith(".") and name.endswith(".tmp"))
    ]
    if strangers and CONFIG not in names:
        raise ValueError(
            f"{folder} holds {', '.join(strangers[:3])}, but no {CONFIG}: it is no run folder. "
            "Choose a new or an empty one."
        )
