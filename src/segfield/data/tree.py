"""What lies in a folder: the names of its files, the same in whatever order a disk lists them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walked(
    root: Path, deepest: int | None = None, without: Callable[[Path], bool] = lambda folder: False
) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder, relative to the root, with the sorted names of its files.

    The root comes first, then folders in the order of their depth and names. Hidden files and folders, and what a Mac's
    zip adds, are left out. Links are followed; a folder to which several paths lead is visited once.

    Args:
        root: a folder.
        deepest: how many levels below the root are visited; None: all.
        without: tells of a folder whether it is left out.

    Raises:
        ValueError: if a folder cannot be listed.
    """
    waiting, visited = [Path()], {root.resolve()}
    while waiting:
        folder = waiting.pop(0)
        try:
            with os.scandir(root / folder) as entries:
                seen = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
        except OSError as error:
            raise ValueError(
                f"{root / folder} cannot be listed: {error.strerror or error}. Check its permissions and its disk."
            ) from error
        yield folder, [name for name, is_folder in seen if not is_folder]
        if deepest is not None and len(folder.parts) >= deepest:
            continue
        for name in (name for name, is_folder in seen if is_folder and name != "__MACOSX"):
            place = (root / folder / name).resolve()
            if place not in visited and not without(root / folder / name):
                visited.add(place)
                waiting.append(folder / name)
