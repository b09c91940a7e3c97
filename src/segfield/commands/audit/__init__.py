"""`segfield audit [group=option ...] [key=value ...] [out=<folder>] [--augmented]`: look at data before training."""

import shlex
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segfield.run import compose
from segfield.run.bar import bar
from segfield.run.placement import cores, outputs

if TYPE_CHECKING:
    from segfield.data.module import PixelwiseData

USAGE = """usage: python -m segfield audit data=<data> [data.root=<folder>] [key=value ...] [out=<folder>] [--augmented]
The same words as after train.py. Reads every sample once, at data.size, and writes audit.html and audit.json to
  out=<folder>    default: outputs/audits/<data>/<time>
  --augmented     16 augmented training samples with their masks too: augmented.png
A prepared set of drift densities (data=ocean_density) is read through and described in audit.json alone.
Exit code 0: training can start. 1: the list says what would make it wrong, and how to mend it. 2: a wrong call.
"""


def main(arguments: list[str]) -> int:
    """Audit one data set."""
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return 0
    augmented, places = "--augmented" in arguments, [word[4:] for word in arguments if word.startswith("out=")]
    words = [word for word in arguments if word != "--augmented" and not word.startswith("out=")]
    if flags := [word for word in words if word.startswith("-")]:
        sys.stderr.write(f"audit takes overrides, out=<folder> and --augmented; found {flags[0]}.\n{USAGE}")
        return 2
    if "" in places:
        sys.stderr.write(f"out= names no folder. Use for example out=audit.\n{USAGE}")
        return 2
    compose.register()
    from segfield.run.alone import alone, chosen

    try:
        config, choices = chosen(words)
        data = alone(config, "data")
        augmentation = alone(config, "augmentation") if augmented else None
    except ValueError as error:
        sys.stderr.write("This data cannot be audited:\n" + "".join(f"- {line}\n" for line in str(error).splitlines()))
        return 2
    name, now = choices["data"], datetime.now()
    folder = Path(places[-1]).expanduser() if places else outputs() / f"audits/{name}/{now:%Y-%m-%d_%H-%M-%S-%f}"
    facts = {
        "title": name,
        "place": _place(config["data"]),
        "command": shlex.join(["python", "-m", "segfield", "audit", *arguments]),
        "when": f"{now:%Y-%m-%d %H:%M}",
        "data": config["data"],
    }
    from segfield.data.ocean_density import OceanDensity

    if not isinstance(data, OceanDensity):
        return _pictures(data, folder, facts, (augmentation, config["seed"]) if augmented else None)
    if augmented:
        sys.stderr.write("--augmented shows pictures with masks; a run's TensorBoard shows densities. Leave it out.\n")
        return 2
    from segfield.commands.audit.drift import audit

    try:
        return audit(data, folder, facts)
    except OSError as error:
        return _refused(folder, error)


def _refused(folder: Path, error: OSError) -> int:
    sys.stderr.write(f"{folder} cannot be written: {error.strerror or error}. Use out=<folder>.\n")
    return 2


def _pictures(data: "PixelwiseData", folder: Path, facts: dict[str, Any], augmentation: tuple[Any, int] | None) -> int:
    """Audit images and masks."""
    from segfield.commands.audit.look import write
    from segfield.commands.audit.table import show
    from segfield.data.audit import audit

    started = time.monotonic()
    with bar("reading") as tick:
        found = audit(data, cores(), tick)
    found.facts.update(facts, seconds=round(time.monotonic() - started, 1))
    try:
        write(folder, data, found, augmentation)
    except OSError as error:
        return _refused(folder, error)
    show(found)
    sys.stdout.write(f"wrote {folder / 'audit.html'} and audit.json\n")
    return 1 if found.errors else 0


def _place(node: dict[str, Any]) -> str:
    """Return where the data lies."""
    return ", ".join(dict.fromkeys(str(node[name]) for name in ("root", "images", "masks") if node.get(name)))
