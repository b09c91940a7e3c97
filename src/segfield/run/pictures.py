"""The images that a prediction is asked for: found, named, and read some ahead of the network."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from segfield.data.images import suffixes
from segfield.data.tree import walked
from segfield.run.masks import RECORD

_log = logging.getLogger(__name__)
T = TypeVar("T")
_AHEAD, _THREADS = 4, 2  # pictures that wait to be predicted; threads that read them


class Picture(NamedTuple):
    """An image to predict: its file, and what its results are called, a relative path without extension."""

    path: Path
    name: str


def pictures(words: Sequence[Path], further: Sequence[str], without: Path) -> list[Picture]:
    """List images, sorted by name; of a folder all that it and its subfolders hold, which stay in the names.

    Files of a folder that are called like another one with `_mask` behind are left out. A result is called like its
    image without extension; images of one folder that differ in their extension only keep it.

    Args:
        words: files and folders.
        further: suffixes that are read beyond those of Pillow.
        without: folder that is not searched, of the results; other folders of results below are not either.

    Raises:
        FileNotFoundError: if a file or folder is not there, or no image is found.
        ValueError: if two images would have the same result.
    """
    found: dict[Path, Path] = {}  # by name with extension
    for word in words:
        if not word.exists():
            raise FileNotFoundError(f"There is no {word}. Name images, or folders that hold some.")
        folder = word if word.is_dir() else word.parent
        for path in _listed(word, suffixes() | set(further), without) if word.is_dir() else [word]:
            first = found.setdefault(path.relative_to(folder), path)
            if first != path:
                raise ValueError(
                    f"{first} and {path} would both become {path.relative_to(folder).with_suffix('.png')}. Name the "
                    "folder above both, or predict them into two folders."
                )
    if not found:
        raise FileNotFoundError(
            f"No images in {', '.join(map(str, words))}: no file there or below has an extension that is read (.png, "
            ".jpg, .tif, ...)."
        )
    stems = Counter(name.with_suffix("") for name in found)
    named = {name: name if stems[name.with_suffix("")] > 1 else name.with_suffix("") for name in found}
    twice = [name for name, number in Counter(named.values()).items() if number > 1]
    if twice:
        both = " and ".join(str(found[name]) for name, given in named.items() if given == twice[0])
        raise ValueError(f"{both} would both become {twice[0]}.png. Rename one of them.")
    if kept := [name for name in found if named[name] == name]:
        _log.info("%d images differ from another in their extension only; it stays: %s.png", len(kept), kept[0])
    return sorted((Picture(path, named[name].as_posix()) for name, path in found.items()), key=lambda one: one.name)


def _listed(folder: Path, readable: set[str], without: Path) -> list[Path]:
    def holds_results(place: Path) -> bool:
        """Tell of a folder that a prediction wrote."""
        if place.resolve() == without.resolve():
            return True
        if of_another := (place / RECORD).is_file():
            _log.info("%s is left out: it holds what was predicted", place)
        return of_another

    found: list[Path] = []
    masks = 0
    for parent, names in walked(folder, without=holds_results):
        images = [name for name in names if Path(name).suffix.lower() in readable]
        stems = {Path(name).stem for name in images}
        kept = [name for name in images if not _is_mask(Path(name).stem, stems)]
        masks += len(images) - len(kept)
        found += [folder / parent / name for name in kept]
    if masks:
        _log.info("%d masks beside their images in %s are left out", masks, folder)
    return found


def _is_mask(stem: str, stems: set[str]) -> bool:
    return stem.endswith("_mask") and stem.removesuffix("_mask") in stems


def ahead(work: Callable[[Picture], T], asked: Iterator[Picture]) -> Iterator[tuple[Picture, "Future[T]"]]:
    """Yield (picture, what becomes of work(picture)) in order, while threads work at the next few.

    However many are asked for, no more than a few results exist at a time.
    """
    waiting: deque[tuple[Picture, Future[T]]] = deque()
    threads = ThreadPoolExecutor(_THREADS)
    try:
        for picture in asked:
            waiting.append((picture, threads.submit(work, picture)))
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        threads.shutdown(cancel_futures=True)
