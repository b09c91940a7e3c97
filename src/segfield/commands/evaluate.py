"""`segfield evaluate <run> [data.part=test] [placement key=value ...]`: score a run again from its best checkpoint."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from segfield.run.placement import share_cores

USAGE = """usage: python -m segfield evaluate <run> [data.part=test|val|train] [placement key=value ...]
  Scores best.ckpt at the working size and at the images' own size, with intervals, and writes <run>/evaluation/.
  Densities: one map ahead and rolled out from the release, beside persistence and the mean density.
  data.part: test where the run's split has one, else val
"""
_BASELINES = ("persistence", "mean")
_ENDS = ("", *(f"_{one}" for one in _BASELINES))
_ROLLED = ("iou_50", "distance_km")  # of the scores of a roll-out: rollout.csv has all


def main(arguments: list[str]) -> int:
    """Evaluate a run; 2 where it cannot be evaluated."""
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return 0
    if not arguments or "=" in arguments[0]:
        sys.stderr.write(USAGE)
        return 2
    folder, words = Path(arguments[0]).expanduser().absolute(), arguments[1:]
    parts = [word.partition("=")[2] for word in words if word.startswith("data.part=")]
    placement = [word for word in words if not word.startswith("data.part=")]
    share_cores()
    from segfield.run.evaluate import evaluate  # imports torch

    try:
        found = evaluate(folder, parts[-1] if parts else None, placement)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    lines = _told_densities(found) if "rollout" in found else _told(found)
    sys.stdout.write("\n".join(lines) + f"\nwritten: {folder / 'evaluation'}\n")
    return 0


def _told(found: dict[str, Any]) -> Iterator[str]:
    checkpoint, working, own = found["checkpoint"], found["working_size"], found["own_size"]
    of = f"{found['part']}: {found['images']} images of {found['groups']} groups"
    yield f"{of}, best.ckpt of epoch {checkpoint['epoch'] + 1}"
    size = "x".join(map(str, working["size"])) if working["size"] else "of several sizes"
    sizes = ", ".join(f"{size} ({number})" for size, number in own["sizes"].items())
    yield from _table(
        ["score", f"working size {size}", "95 % interval", f"own size {sizes}", "95 % interval"],
        [[name, *_cells(value), *_cells(own["scores"][name])] for name, value in working["scores"].items()],
    )
    yield from _rules(found)
    yield f"  size HxW; scored: {working['scored']}; own size: {own['how']}, {own['scored']}"
    yield from _beside(found, "images")


def _told_densities(found: dict[str, Any]) -> Iterator[str]:
    ahead, leads, rolled = found["one_map_ahead"], found["rollout"]["lead_hours"], found["rollout"]["scores"]
    of = f"{found['part']}: {found['windows']} windows of {found['ensembles']} ensembles"
    yield f"{of}, best.ckpt of epoch {found['checkpoint']['epoch'] + 1}"
    names = [name for name in ahead if not name.endswith(_BASELINES)]
    yield from _table(
        ["one map ahead", *(word for who in ("network", *_BASELINES) for word in (who, "95 % interval"))],
        [[name, *(cell for end in _ENDS for cell in _cells(ahead[name + end], _short))] for name in names],
    )
    if leads is None:
        yield f"  not rolled out: {found['no_rollout']}"
    else:
        yield from _table(
            ["rolled out", *(f"{name}{end.replace('_', ' ')}" for name in _ROLLED for end in _ENDS)],
            [
                [f"+{hours:g} h", *(_short(rolled[name + end][place]) for name in _ROLLED for end in _ENDS)]
                for place, hours in enumerate(leads)
            ],
        )
    yield from _rules(found)
    yield from _beside(found, "windows")


def _rules(found: dict[str, Any]) -> Iterator[str]:
    for name, rule in found["rules"].items():
        yield f"  {name}: {rule}"


def _beside(found: dict[str, Any], what: str) -> Iterator[str]:
    """Say what was left out, and whether training reported the same."""
    if found["skipped"]:
        yield f"  {len(found['skipped'])} {what} cannot be read and are in no score; summary.json names them"
    training = found["training"]
    if training is not None:
        differ = f"not the bits that training reported: {', '.join(training['different'])}"
        yield f"  {'the bits that training reported in metrics.csv' if training['bit_equal'] else differ}"


def _cells(score: dict[str, float | None], shown: Callable[[float | None], str] = "{:.4f}".format) -> list[str]:
    low, high = score["low"], score["high"]
    return [shown(score["value"]), "-" if low is None or high is None else f"{shown(low)} .. {shown(high)}"]


def _short(value: float | None) -> str:
    """Show four digits of a score that may be small, or none."""
    return "-" if value is None else f"{value:.4g}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    for row in (header, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
