"""What lies in a data folder: the names of its files, a few levels deep, the same in whatever order they are listed."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Tree = Mapping[Path, list[str]]
Tell = Callable[[str, Sequence[str], str, bool], None]  # kind, names of files, message, whether training cannot begin

_DEEPEST = 4  # below the root: as deep as a zip in a folder of its own puts a patient's slices


def walked(root: Path) -> Tree:
    """Return the sorted file names of the root and of the folders below it, by their paths relative to the root.

    Folders come in the order of their depth, then of their names; hidden ones and what a Mac's zip adds are left out.

    Raises:
        ValueError: if a folder cannot be listed.
    """
    found: dict[Path, list[str]] = {}
    waiting = [Path()]
    while waiting:
        folder = waiting.pop(0)
        try:
            with os.scandir(root / folder) as entries:
                seen = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
        except OSError as error:
            raise ValueError(
                f"{root / folder} cannot be listed: {error.strerror or error}. Check its permissions and its disk."
            ) from error
        found[folder] = [name for name, is_folder in seen if not is_folder]
        if len(folder.parts) < _DEEPEST:
            waiting.extend(folder / name for name, is_folder in seen if is_folder and name != "__MACOSX")
    return found
