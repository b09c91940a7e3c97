"""`segfield reproduce <run> [key=value ...]`: run it again in a new folder, and give a verdict on the two."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from segfield.files import whole, write_text
from segfield.run import placement
from segfield.run.data import SPLITS, STATISTICS
from segfield.run.environment import as_executed
from segfield.run.execute import attempt
from segfield.run.freeze import CONFIG, freeze, load
from segfield.run.status import shown
from segfield.run.verdict import BIT_EQUAL, DIFFERS, TOLERANCE, WITHIN, NotComparableError, compare, evidence

NAME = "verdict.json"


def main(arguments: list[str]) -> int:
    """Reproduce a run folder or a saved experiment.

    Returns:
        0 bit-equal or equal within tolerance, 1 differs, 2 not comparable, 130 or 143 after a signal.
    """
    parser = argparse.ArgumentParser("python -m segfield reproduce", description=__doc__.partition(": ")[2])
    parser.add_argument("run", type=Path, help="folder of a finished run, or of a saved experiment")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="placement, or what shall be different")
    parser.add_argument("--tolerance", type=_tolerance, default=TOLERANCE, help="of a score (default: %(default)s)")
    parser.add_argument("--into", type=Path, help="folder of the new run; an unfinished one goes on")
    words = parser.parse_intermixed_args(arguments)
    placement.share_cores()
    try:
        return _reproduce(words.run.absolute(), words.changes, words.tolerance, words.into)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"not comparable: {error}\n")
        return 2


def _tolerance(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number, 0 or more, found {text}")
    return value


def _reproduce(parent: Path, changes: Sequence[str], tolerance: float, into: Path | None) -> int:
    config = load(parent)
    _ended(parent)
    before = evidence(parent)
    new = placement.change(as_executed(config, before.executions), changes)
    changed = placement.difference(config, new)
    folder = _new_folder(new, parent) if into is None else into.absolute()
    if folder.resolve().is_relative_to(parent.resolve()):
        raise NotComparableError(f"{folder} is the run itself or lies in it. Leave --into out, or name another folder.")
    _plan(parent, folder, new, changed)
    try:
        code = attempt(folder, checked=True)
    except SystemExit:  # a signal: the run was saved
        again = " ".join(["python -m segfield reproduce", str(parent), *changes, "--into", str(folder)])
        sys.stderr.write(f"to continue, with the verdict: {again}\n")
        raise
    if code:
        raise NotComparableError(f"the rerun in {folder} has not ended well.")
    found = compare(before, evidence(folder), changed, tolerance)
    write_text(folder / NAME, json.dumps(found, indent=2, allow_nan=False) + "\n")
    sys.stdout.write(told(found))
    return 0 if found["verdict"] in (BIT_EQUAL, WITHIN) else 1


def _plan(parent: Path, folder: Path, config: dict[str, Any], changed: dict[str, tuple[Any, Any]]) -> None:
    """Freeze the rerun with the parent's split, or find that it stands there already."""
    from segfield.run.check import check

    if not (folder / CONFIG).exists():
        check(config, folder)
        if not any(key.startswith("data.") for key in changed):
            write_text(folder / SPLITS, (parent / SPLITS).read_text())  # the same samples in the same parts
            if (parent / STATISTICS).exists():  # and what was learned of them; a saved experiment has none
                with whole(folder / STATISTICS) as file:
                    file.write((parent / STATISTICS).read_bytes())
        record = {"parent": str(parent), "changed": {key: list(values) for key, values in changed.items()}}
        write_text(folder / "parent.yaml", yaml.safe_dump(record, sort_keys=False))
    freeze(config, folder)


def _ended(parent: Path) -> None:
    """Refuse a parent that is still on its way: a saved experiment has no status, it was finished when it was kept."""
    state = shown(parent)["state"] if (parent / "status.json").exists() else "finished"
    if state == "pruned":
        raise NotComparableError(
            f"{parent} is pruned: it was stopped before its last epoch, so it has no end to compare with. For a "
            "whole run of the same configuration give its command again without callbacks=prune."
        )
    if state != "finished":
        first = "Wait for its end" if state == "running" else f"Finish it first: python -m segfield execute {parent}"
        raise NotComparableError(f"{parent} is {state}, it has no end to compare with. {first}.")


def _new_folder(config: dict[str, Any], parent: Path) -> Path:
    """Return a folder beside the parent's, where that has its usual place: it is named by the options chosen then."""
    model, data = (config[group]["_target_"].split(".")[-2] for group in ("model", "data"))
    beside = parent.parent if parent.parent.parent == placement.outputs() else placement.outputs() / f"{model}_{data}"
    return beside / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")


def told(found: dict[str, Any]) -> str:
    """Return a verdict as it is printed."""
    lines = [f"verdict: {found['text'] if found['verdict'] == DIFFERS else found['verdict'] + ': ' + found['text']}"]
    lines += [f"  changed {key}: {pair['parent']} -> {pair['run']}" for key, pair in found["changed"].items()]
    lines += [f"  drifted {name}: {pair['parent']} -> {pair['run']}" for name, pair in found["drifted"].items()]
    lines += [f"  drifted data: {line}" for line in found["drifted_data"]]
    if found["verdict"] != BIT_EQUAL:
        if found["first_difference"]:
            lines.append(f"  bits part at {found['first_difference']}")
        lines += [f"  {name}: {pair['parent']:.6} against {pair['run']:.6}" for name, pair in found["final"].items()]
    lines += [f"  parent: {found['parent']}", f"  run: {found['run']} ({NAME})"]
    return "\n".join(lines) + "\n"
