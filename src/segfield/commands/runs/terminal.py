"""A table on a terminal: what fits its width, what was left out, colours for states."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
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
        columns: all of them; the first is the run's name.
        narrower: the same, for a terminal that does not take all.
        summary: of the table.
    """
    console = Console(highlight=False)
    fit, left_out, narrow = fitting(columns, console.width)
    if left_out or narrow < width(fit[0]):
        fit, left_out, narrow = fitting(narrower, console.width)
    rows = list(zip(*(column.cells for column in fit), strict=True))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", footer_style="bold")
    table.show_footer = len(rows) > console.height
    for column in fit:
        name = column.name.replace(" ", "\n") if width(column) < cell_len(column.name) else column.name
        side: JustifyMethod = "right" if column.right else "left"
        places = narrow if column is fit[0] else width(column)
        table.add_column(Text(name), Text(name), justify=side, width=places, overflow="fold", vertical="top")
    state = next(place for place, column in enumerate(fit) if column.name == "state")
    for row in rows:
        table.add_row(*(Text(cell, _COLOURS.get(cell, "") if place == state else "") for place, cell in enumerate(row)))
    console.print(table)
    console.print(Text(summary))
    alike = [column for column in left_out if column.rank == ALIKE]
    if alike:
        console.print(Text(f"All have {', '.join(f'{column.name} {column.cells[0]}' for column in alike)}."))
    if others := [column.name for column in left_out if column.rank != ALIKE]:
        names = ", ".join(others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
        console.print(Text(f"Left out at {console.width} columns: {names}. --csv has all of them."))


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
