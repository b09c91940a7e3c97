"""Two runs side by side: which frozen keys differ, and their scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segfield.commands.runs import cells
from segfield.commands.runs.table import Column
from segfield.run.freeze import CONFIG
from segfield.run.frozen import Frozen
from segfield.run.listing import Run, epochs, read
from segfield.run.placement import KEYS

SAID = {True: "They compute different things.", False: "They compute the same; placement does not count."}
_SCORES = ("val/", "test/")


def compare(place: Path, words: Sequence[str], notes: list[str]) -> tuple[list[Column], bool]:
    """Compare two runs.

    Args:
        place: below which they are looked for too.
        words: their folders, or their names in the table.
        notes: takes what is damaged.

    Returns:
        A row for the states, for each key that differs, for the best and final scores; whether what they compute
        differs.

    Raises:
        ValueError: if one of them is no run folder, or its config cannot be read.
    """
    frozen = Frozen()
    runs = [read(_found(word, place), word, frozen) for word in words]
    for run in runs:
        if not run.values:
            raise ValueError(f"{run.notes[0]}. Restore it from a copy of the run.")
    one, other = (run.values for run in runs)
    pairs = {key: (one.get(key), other.get(key)) for key in {**one, **other} if one.get(key) != other.get(key)}
    rows: list[tuple[str, ...]] = [("state", *(run.facts["state"] for run in runs))]
    rows += [(key, *map(cells.typed, pair)) for key, pair in pairs.items() if key not in KEYS]
    rows += [(f"{key} (placement)", *map(cells.typed, pair)) for key, pair in pairs.items() if key in KEYS]
    rows += (other_data := _data(runs))
    rows += _scores(runs)
    notes.extend(dict.fromkeys(note for run in runs for note in run.notes))  # scores are read twice where none is told
    named = zip(("key", *words), zip(*rows, strict=True), strict=True)
    table = [Column(name, [*map(cells.printable, row)], right=False) for name, row in named]
    return table, bool(other_data) or any(key not in KEYS for key in pairs)


def _data(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Return a row where the runs saw different files, by their hashes; none where one has not written them down."""
    from segfield.data.fingerprint import FINGERPRINT, drift, read_table  # numpy: a table of runs needs none

    tables = [run.folder / FINGERPRINT for run in runs]
    try:
        one, other = (read_table(path) for path in tables)
    except (OSError, ValueError):
        return []
    changes = drift(one, other)
    return [("files of the data", f"{len(one)}", f"{len(other)}, {len(changes)} differ")] if changes else []


def _found(word: str, place: Path) -> Path:
    """Return the run folder that a word names: a path, or a name as the table shows it, with its *."""
    folders = [folder for folder in (Path(word), place / word) if (folder / CONFIG).exists()]
    if not folders and "*" in word and not Path(word).is_absolute():
        folders = [folder for folder in place.glob(word) if (folder / CONFIG).exists()]
        if len(folders) > 1:
            raise ValueError(
                f"{word} fits {len(folders)} run folders below {place.absolute()}. Write more of the name."
            )
    if folders:
        return folders[0]
    raise ValueError(
        f"{word} is no run folder, neither here nor below {place.absolute()}: it has no {CONFIG}. "
        f"See which there are: python -m segfield runs {place}"
    )


def _scores(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Return rows of the best monitored score and of the last value of every score, validation's and test's."""
    found: list[dict[str, Any]] = []
    for run in runs:
        best = {f"best {run.facts['metric']}": run.facts["best"]} if run.facts["best"] is not None else {}
        last = {name: value for row in epochs(run.folder, run.notes) for name, value in row.items()}
        found.append(best | {f"final {name}": last[name] for name in last if name.startswith(_SCORES)})
    return [(name, *(cells.exact(one.get(name)) for one in found)) for name in {**found[0], **found[1]}]
