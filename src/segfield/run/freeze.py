"""Write a run folder: config.yaml, resolved and self-sufficient, and Hydra's own record. Nothing is overwritten."""

import json
from pathlib import Path
from typing import Any

import yaml

from segfield.files import write_text
from segfield.run.placement import absolute, difference
from segfield.run.status import NAME as STATUS

CONFIG = "config.yaml"


def load(folder: str | Path) -> dict[str, Any]:
    """Read a frozen config.

    Raises:
        FileNotFoundError: if the folder is no run folder.
        ValueError: if its config.yaml is damaged.
    """
    path = Path(folder) / CONFIG
    if not path.exists():
        raise FileNotFoundError(
            f"{Path(folder).absolute()} is no run folder: it has no {CONFIG}. Name a folder that train.py made, "
            "for example outputs/unet_small_blobs/<time>."
        )
    try:
        config = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}. Restore it from a copy of the run.") from error
    if not isinstance(config, dict) or "data" not in config or "trainer" not in config:
        raise ValueError(f"{path} is no frozen config: it lacks data and trainer. Make one with python train.py.")
    return config


def freeze(config: dict[str, Any], folder: Path, record: dict[str, str] | None = None) -> None:
    """Write the run folder, or find that it stands there already with the same config.

    Args:
        config: resolved.
        folder: of the run; made if absent.
        record: texts of the files of .hydra/ by name.

    Raises:
        ValueError: if another config stands there; nothing is changed then.
    """
    config = absolute(config)
    if (folder / CONFIG).exists():
        changed = difference(load(folder), config)
        if changed:
            lines = "\n".join(f"  {key}: {old!r} there, {new!r} now" for key, (old, new) in changed.items())
            raise ValueError(
                f"{folder} holds another run; these keys differ:\n{lines}\n"
                "Nothing was changed. Choose another folder, or give the same values to continue that run."
            )
        return
    for name, text in (record or {}).items():
        write_text(folder / ".hydra" / name, text)
    write_text(folder / STATUS, json.dumps({"state": "planned"}) + "\n")
    header = f"# Frozen by segfield. Run or continue it: python -m segfield execute {folder.name}\n"
    # Last: a folder with a config.yaml is complete.
    write_text(folder / CONFIG, header + yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
