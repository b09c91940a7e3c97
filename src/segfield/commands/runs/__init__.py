"""`segfield runs [folder] [filter ...]`: a table of run folders, or of what differs between two of them."""

import argparse
import csv
import io
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from segfield.commands.runs.cells import printable
from segfield.commands.runs.choose import Names, chosen, ordered
from segfield.commands.runs.compare import SAID, compare
from segfield.commands.runs.table import Column, columns, short_names, write_csv, write_text
from segfield.run.frozen import Frozen
from segfield.run.listing import Run, find, read
from segfield.run.placement import outputs

_DETAILS = """words:
  a folder, first of all  where runs are searched; outputs/ where none is given.
                          A sweep's folder, one run's, experiments/
  unet_small_blobs/2026   runs with this in their name
  model=unet data=blobs   an option that was composed, or a class, of any group
  optimizer.lr=1e-3       a key of the frozen config; lr=1e-3 where no other key
                          ends like that
  state=killed            planned running finished failed interrupted pruned
                          killed saved damaged unknown
  'best>0.9'              also < <= >= !=, in quotes: a shell takes < and > for
                          files. Facts: run state model data metric best epoch
                          epochs time memory frozen reason

A key has a column only where the listed runs differ in it; placement has none.
What a terminal is too narrow for is named below the table, --csv holds all.
killed: it says running and is not. saved: an experiment that was kept. A name
with * stands for the one folder that begins like that, as in a shell.

Exit code 0, also where no run is found; 2 for a wrong call; with --diff 0 where
the two compute the same (placement aside), 1 where they do not.
"""
_NOTES = 20  # lines on what is damaged, before the rest is counted


def main(arguments: list[str]) -> int:
    """List runs, or compare two."""
    parser = argparse.ArgumentParser(
        "python -m segfield runs",
        usage="python -m segfield runs [folder] [filter ...] [--sort NAME] [--reverse]\n"
        "                                [--limit N] [--csv]\n"
        "       python -m segfield runs [folder] --diff A B [--csv]",
        description="A table of run folders, or of what differs between two of them.",
        epilog=_DETAILS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--sort", metavar="NAME", default="frozen", help="by a fact or key, the best or largest last")
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--limit", metavar="N", type=_count, help="only the last N of the table")
    parser.add_argument("--csv", action="store_true", help="write CSV: every differing key, raw numbers")
    parser.add_argument("--diff", nargs=2, metavar=("A", "B"), help="every key that differs, and the scores")
    given = parser.parse_intermixed_args(arguments)
    named = bool(given.words) and Path(given.words[0]).is_dir()
    place = Path(given.words.pop(0)) if named else outputs()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a stdout that takes ASCII only
    try:
        code = _diff(place, given) if given.diff else _list(place, given)
        sys.stdout.flush()
    except ValueError as error:
        sys.stderr.write(f"{printable(str(error))}\n")
        return 2
    except BrokenPipeError:  # whoever read it has seen enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, found {text!r}")
    return int(text)


def _list(place: Path, given: argparse.Namespace) -> int:
    notes: list[str] = []
    frozen = Frozen()
    every = [read(folder, _name(folder, place), frozen) for folder in find(place, notes)]
    if not every:
        sys.stderr.write(f"No run folder at or below {place.absolute()}. Make one with: python train.py\n")
        _tell(notes)
        return 0
    names = Names(every)
    runs = ordered(chosen(every, given.words, names), names.full(given.sort), reverse=given.reverse)
    runs = runs[-given.limit :] if given.limit else runs
    if not runs:
        told = f"None of the {len(every):,} runs below {place.absolute()} fits {' '.join(given.words)}"
        sys.stderr.write(
            f"{printable(told)}. Words that are no conditions are parts of names; a folder stands first.\n"
        )
    if given.csv:
        write_csv(runs)
    elif runs and sys.stdout.isatty():
        _show(columns(runs, names), short_names(runs, every), _summary(runs, every, place))
    elif runs:
        write_text(columns(runs, names))
    _tell([*notes, *(note for run in runs for note in run.notes)])
    return 0


def _name(folder: Path, place: Path) -> str:
    return folder.absolute().name if folder == place else folder.relative_to(place).as_posix()


def _show(table: list[Column], names: list[str], summary: str) -> None:
    from segfield.commands.runs import terminal  # rich takes a while, and a pipe does without

    first, *others = table
    terminal.write(table, [Column(first.name, names, first.rank, first.right), *others], summary)


def _summary(runs: Sequence[Run], every: Sequence[Run], place: Path) -> str:
    counts = Counter(run.facts["state"] for run in runs)
    states = ", ".join(f"{count:,} {state}" for state, count in counts.most_common())
    of = f" of {len(every):,}" if len(runs) < len(every) else ""
    return f"{len(runs):,}{of} run{'s' * (len(every) > 1)} below {printable(str(place.absolute()))}: {states}."


def _tell(notes: Sequence[str]) -> None:
    for note in notes[:_NOTES]:
        sys.stderr.write(f"damaged: {printable(note)}\n")
    if len(notes) > _NOTES:
        sys.stderr.write(f"damaged: {len(notes) - _NOTES:,} more\n")


def _diff(place: Path, given: argparse.Namespace) -> int:
    if given.words or given.sort != "frozen" or given.reverse or given.limit:
        raise ValueError("--diff compares two runs; it takes neither a filter nor --sort, --reverse or --limit.")
    notes: list[str] = []
    table, differs = compare(place, given.diff, notes)
    if given.csv:
        rows = zip(*([column.name, *column.cells] for column in table), strict=True)
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
    elif sys.stdout.isatty():
        from segfield.commands.runs import terminal

        terminal.write_pair(table, SAID[differs])
    else:
        write_text(table)
        sys.stderr.write(f"{SAID[differs]}\n")
    _tell(notes)
    return int(differs)
