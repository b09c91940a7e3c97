"""`segfield prepare <subject> ...`: make or fetch data. One file per subject, imported when it is called."""

import importlib
import sys

SUBJECTS = {
    "carvana": "Kaggle's Carvana photographs, downloaded or from zips: carvana <folder>",
    "demo": "draw example data: demo carvana <folder>",
    "ocean_density": "drift of particles in the sea: ocean_density fields=<NetCDF files> out=<folder>",
}


def main(arguments: list[str]) -> int:
    """Prepare one subject and return its exit code; 2 for a wrong call."""
    if arguments and arguments[0] in SUBJECTS:
        code: int = importlib.import_module(f"segfield.commands.prepare.{arguments[0]}").main(arguments[1:])
        return code
    lines = "\n".join(f"  {subject:14} {text}" for subject, text in SUBJECTS.items())
    usage = f"usage: python -m segfield prepare <subject> ...\n{lines}\n"
    if arguments and arguments[0] in ("-h", "--help"):
        sys.stdout.write(usage)
        return 0
    sys.stderr.write(f"unknown subject {arguments[0]!r}\n{usage}" if arguments else usage)
    return 2
