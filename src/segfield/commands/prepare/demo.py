"""`segfield prepare demo carvana <folder> [key=value ...]`: draw cars in Carvana's layout."""

import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

_KEYS = {"cars": 8, "views": 16, "size": [1280, 1918], "test_cars": 1, "seed": 0}
USAGE = (
    "usage: python -m segfield prepare demo carvana <folder> [key=value ...]\n"
    f"  keys and defaults: {' '.join(f'{key}={value}' for key, value in _KEYS.items())}\n".replace(", ", ",")
)


def main(arguments: list[str]) -> int:
    """Draw the data; 2 for a wrong call, 1 where it cannot be written."""
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return 0
    try:
        folder, options = _parse(arguments)
    except ValueError as error:
        sys.stderr.write(f"{error}\n{USAGE}")
        return 2
    from segfield.data.demo import prepare_carvana  # after the call is understood: numpy takes a while

    try:
        prepare_carvana(folder, **options)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    root = shlex.quote(f"data.root={folder}")
    sys.stdout.write(f"Wrote {folder}. Train on it with:\n  python train.py model=unet data=carvana {root}\n")
    return 0


def _parse(arguments: list[str]) -> tuple[Path, dict[str, Any]]:
    if len(arguments) < 2 or arguments[0] != "carvana" or "=" in arguments[1] or arguments[1].startswith("-"):
        raise ValueError(f"expected: carvana <folder>; got: {' '.join(arguments) or 'nothing'}")
    options: dict[str, Any] = {}
    for argument in arguments[2:]:
        key, equals, value = argument.partition("=")
        if not equals or key not in _KEYS:
            raise ValueError(f"unknown argument {argument!r}: expected key=value with one of {', '.join(_KEYS)}")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"{argument!r} cannot be read: {key}={_KEYS[key]} for example") from error
    return Path(arguments[1]).expanduser(), options
