"""`segfield reproduce <run> [key=value ...]`: run it again in a new folder, and give a verdict on the two."""

import argparse
import copy
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from segfield.files import write_text
from segfield.run import placement
from segfield.run.data import SPLITS
from segfield.run.environment import read_environment
from segfield.run.execute import attempt
from segfield.run.freeze import CONFIG, freeze, load
from segfield.run.status import shown
from segfield.run.verdict import BIT_EQUAL, TOLERANCE, WITHIN, NotComparableError, compare

NAME = "verdict.json"


def main(arguments: list[str]) -> int:
    """Reproduce a run folder or a saved experiment.

    Returns:
        0 bit-equal or equal within tolerance, 1 differs, 2 not comparable, 130 or 143 after a signal.
    """
    parser = argparse.ArgumentParser("python -m segfield reproduce", description=__doc__.partition(": ")[2])
    parser.add_argument("run", type=Path, help="folder of a finished run, or of a saved experiment")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="placement, or what shall be different")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="of a final score (default: %(default)s)")
    parser.add_argument("--into", type=Path, help="folder of the new run; an unfinished one goes on")
    words = parser.parse_args(arguments)
    placement.share_cores()
    try:
        return _reproduce(words.run.absolute(), words.changes, words.tolerance, words.into)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"not comparable: {error}\n")
        return 2


def _reproduce(parent: Path, changes: Sequence[str], tolerance: float, into: Path | None) -> int:
    from segfield.run.check import check

    before = load(parent)
    _ended(parent)
    config = placement.change(_as_executed(before, parent), changes)
    changed = placement.difference(before, config)
    folder = _new_folder(config) if into is None else into.absolute()
    if folder.resolve() == parent.resolve():
        raise NotComparableError(f"{folder} is the run itself: a run is not compared with itself. Leave --into out.")
    if not (folder / CONFIG).exists():
        check(config, folder)
        if not any(key.startswith("data.") for key in changed):
            write_text(folder / SPLITS, (parent / SPLITS).read_text())  # the same samples in the same parts
        record = {"parent": str(parent), "changed": {key: list(values) for key, values in changed.items()}}
        write_text(folder / "parent.yaml", yaml.safe_dump(record, sort_keys=False))
    freeze(config, folder)
    code = attempt(folder)
    if code:
        raise NotComparableError(f"the rerun in {folder} has not ended well.")
    found = compare(parent, folder, changed, tolerance)
    write_text(folder / NAME, json.dumps(found, indent=2) + "\n")
    sys.stdout.write(told(found))
    return 0 if found["verdict"] in (BIT_EQUAL, WITHIN) else 1


def _ended(parent: Path) -> None:
    """Refuse a parent that is still on its way: a saved experiment has no status, it was finished when it was kept."""
    state = shown(parent)["state"] if (parent / "status.json").exists() else "finished"
    if state != "finished":
        raise NotComparableError(
            f"{parent} is {state}, it has no end to compare with. Finish it first: python -m segfield execute {parent}"
        )


def _as_executed(config: dict[str, Any], parent: Path) -> dict[str, Any]:
    """Return the config with the parent's last placement, its threads above all: a saved experiment holds none."""
    config, entries = copy.deepcopy(config), read_environment(parent)
    for key, value in ((entries[-1].get("placement") or {}) if entries else {}).items():
        group, _, name = key.rpartition(".")
        node = config.get(group) if group else config
        if key in placement.KEYS and isinstance(node, dict) and name in node:
            node[name] = value
    return placement.located(config)


def _new_folder(config: dict[str, Any]) -> Path:
    model, data = (config[group]["_target_"].split(".")[-2] for group in ("model", "data"))
    return placement.outputs() / f"{model}_{data}" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")


def told(found: dict[str, Any]) -> str:
    """Return a verdict as it is printed."""
    lines = [f"verdict: {found['verdict']}: {found['text']}"]
    lines += [f"  changed {key}: {pair['parent']} -> {pair['run']}" for key, pair in found["changed"].items()]
    lines += [f"  drifted {name}: {pair['parent']} -> {pair['run']}" for name, pair in found["drifted"].items()]
    lines += [f"  drifted data: {line}" for line in found["drifted_data"]]
    if found["verdict"] != BIT_EQUAL:
        if found["first_difference"]:
            lines.append(f"  bits part at {found['first_difference']}")
        lines += [f"  {name}: {pair['parent']:g} against {pair['run']:g}" for name, pair in found["final"].items()]
    lines += [f"  parent: {found['parent']}", f"  run: {found['run']} ({NAME})"]
    return "\n".join(lines) + "\n"
