"""A table on a terminal: what fits its width, what was left out, colours for states."""

from collections.abc import Sequence

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.table import Table
from rich.text import Text

from segfield.commands.runs.cells import printable
from segfield.commands.runs.table import ALIKE, GAP, NEEDED, Column

_COLOURS = {
    **dict.fromkeys(("finished", "saved"), "green"),
    **dict.fromkeys(("failed", "killed", "damaged", "unknown"), "red"),
    **dict.fromkeys(("interrupted", "pruned"), "yellow"),
    "running": "cyan",
    "planned": "dim",
}
_NARROWEST = 20  # of the first column, whose cells are folded then


def width(column: Column) -> int:
    """Return how many places a column takes; the words over it may stand one below the other."""
    return max([cell_len(cell) for cell in column.cells] + [cell_len(word) for word in column.name.split(" ")])


def fitting(columns: Sequence[Column], room: int) -> tuple[list[Column], list[Column], int]:
    """Choose columns for a width.

    Returns:
        Those that fit, in their order; those that do not; and the width of the first.
    """
    first, *others = columns
    needed = [column for column in others if column.rank <= NEEDED]
    left = room - sum(width(column) + GAP for column in needed)
    narrow = min(width(first), max(left, _NARROWEST))
    left -= narrow
    taken = {id(column) for column in [first, *needed]}
    for column in sorted(others, key=lambda column: column.rank):
        if id(column) not in taken and width(column) + GAP <= left:
            taken.add(id(column))
            left -= width(column) + GAP
    fit = [column for column in columns if id(column) in taken]
    return fit, [column for column in columns if id(column) not in taken], narrow


def write(columns: Sequence[Column], narrower: Sequence[Column], summary: str) -> None:
    """Write a table with a summary below it, where a long one ends in sight.

    Args:
        columns: all of them; the first is the run's name, the second its state.
        narrower: the same, for a terminal that does not take all.
        summary: of the table.
    """
    console = Console(highlight=False)
    fit, left_out, narrow = fitting(columns, console.width)
    if left_out or narrow < width(fit[0]):
        fit, left_out, narrow = fitting(narrower, console.width)
    widths = [narrow, *(width(column) for column in fit[1:])]
    names = [column.name.split(" ") if width(column) < cell_len(column.name) else [column.name] for column in fit]
    tallest = max(map(len, names))
    # Rich's own Table takes a second for 2,000 rows.
    head = zip(*([""] * (tallest - len(words)) + words for words in names), strict=True)
    heading = Text("\n".join((" " * GAP).join(_padded(words, fit, widths)) for words in head), "bold")
    rows = zip(*(column.cells for column in fit), strict=True)
    lines = [heading, *(_row(row, fit, widths) for row in rows)]
    if len(lines) > console.height:
        lines.append(heading)
    console.print(Text("\n").join(lines), soft_wrap=True)
    console.print(Text(summary))
    alike = [column for column in left_out if column.rank == ALIKE]
    if alike:
        console.print(Text(f"All have {', '.join(f'{column.name} {column.cells[0]}' for column in alike)}."))
    if others := [column.name for column in left_out if column.rank != ALIKE]:
        listed = ", ".join(others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
        console.print(Text(f"Left out at {console.width} columns: {listed}. --csv has all of them."))


def _row(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> Text:
    """Return one run's line, its state coloured, or several: a name that is too long goes on below itself."""
    name, *more = chop_cells(cells[0], widths[0])
    first, state, *others = _padded([name, *cells[1:]], columns, widths)
    text = Text((" " * GAP).join([first, state, *others]).rstrip())
    at = len(first) + GAP
    text.stylize(_COLOURS.get(cells[1], ""), at, at + len(state))
    return Text("\n").join([text, *map(Text, more)])


def _padded(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> list[str]:
    padded = []
    for cell, column, places in zip(cells, columns, widths, strict=True):
        blanks = " " * (places - cell_len(cell))
        padded.append(blanks + cell if column.right else cell + blanks)
    return padded


def write_pair(columns: Sequence[Column], summary: str) -> None:
    """Write the columns of two runs, whose names stand below them as A and B."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for letter in ("", "A", "B"):
        table.add_column(letter, overflow="fold")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, row))
    console.print(table)
    for letter, column in zip("AB", columns[1:], strict=True):
        console.print(Text(f"{letter}: {printable(column.name)}"))
    console.print(Text(summary))
