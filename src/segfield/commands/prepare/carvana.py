"""`segfield prepare carvana <folder> [zips=<folder>] [parts=train,test,hq]`: the competition's photographs."""

import shlex
import sys
from pathlib import Path

from segfield.run.bar import bar

_PARTS = ("train", "test", "hq")
USAGE = """usage: python -m segfield prepare carvana <folder> [zips=<folder>] [parts=train,test,hq]
Unpacks Kaggle's Carvana Image Masking Challenge once, and counts it; the same command completes what was interrupted.
  zips=<folder>   zips that you have downloaded (~/Downloads); left out, they are downloaded with Kaggle's client
  parts=...       train (photographs, masks), test (to predict), hq (less compressed); default: train,test, or, with
                  zips=, what lies there
Exit code 0: all of it is there. 1: it is not; the text says what to do. 2: a wrong call.
"""


def main(arguments: list[str]) -> int:
    """Prepare the competition's data."""
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return 0
    try:
        folder, zips, parts = _parse(arguments)
    except ValueError as error:
        sys.stderr.write(f"{error}\n{USAGE}")
        return 2
    from segfield.data.competition import Counts, differences, prepare

    expected = Counts()
    try:
        there, wrong = differences(
            folder, prepare(folder, parts, zips, expected, lambda name: bar(f"unpacking {name}")), expected
        )
    except (ValueError, OSError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in there))
    if wrong:
        sys.stderr.write("This is not the whole competition:\n" + "".join(f"- {line}\n" for line in wrong))
        return 1
    root = shlex.quote(f"data.root={folder}")
    sys.stdout.write(f"Train on it with:\n  python train.py model=unet data=carvana {root}\n")
    return 0


def _parse(arguments: list[str]) -> tuple[Path, Path | None, list[str] | None]:
    if not arguments or "=" in arguments[0] or arguments[0].startswith("-"):
        raise ValueError(f"expected: <folder>; got: {' '.join(arguments) or 'nothing'}")
    zips: Path | None = None
    parts: list[str] | None = None
    for argument in arguments[1:]:
        key, equals, value = argument.partition("=")
        if not equals or not value or key not in ("zips", "parts"):
            raise ValueError(f"unknown argument {argument!r}: expected zips=<folder> or parts=train,test,hq")
        if key == "zips":
            zips = Path(value).expanduser()
            continue
        parts = value.strip("[]").replace(" ", "").split(",")
        if unknown := [part for part in parts if part not in _PARTS]:
            raise ValueError(f"parts={value}: {unknown[0]!r} is none of {', '.join(_PARTS)}")
    return Path(arguments[0]).expanduser(), zips, parts
