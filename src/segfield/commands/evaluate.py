"""`segfield evaluate <run> [data.part=test] [placement key=value ...]`: score a run again from its best checkpoint."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from segfield.run.placement import share_cores

USAGE = """usage: python -m segfield evaluate <run> [data.part=test|val|train] [placement key=value ...]
  Scores best.ckpt at the working size and at the images' own size, with intervals, and writes <run>/evaluation/.
  data.part: test where the run's split has one, else val
"""


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
    sys.stdout.write("\n".join(_told(found)) + f"\nwritten: {folder / 'evaluation'}\n")
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
    for name, rule in found["rules"].items():
        yield f"  {name}: {rule}"
    yield f"  size HxW; scored: {working['scored']}; own size: {own['how']}, {own['scored']}"
    if found["skipped"]:
        yield f"  {len(found['skipped'])} images cannot be read and are in no score; summary.json names them"
    training = found["training"]
    if training is not None:
        differ = f"not the bits that training reported: {', '.join(training['different'])}"
        yield f"  {'the bits that training reported in metrics.csv' if training['bit_equal'] else differ}"


def _cells(score: dict[str, float | None]) -> list[str]:
    low, high = score["low"], score["high"]
    return [f"{score['value']:.4f}", "-" if low is None or high is None else f"{low:.4f} .. {high:.4f}"]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    for row in (header, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
