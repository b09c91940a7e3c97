"""Kaggle's Carvana Image Masking Challenge on this disk: fetch or find its zips, unpack them once, count.

The files are the competition's; whoever downloads them has accepted its rules there. What is in them is carvana.py's.
"""

import contextlib
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from segfield.data.archives import Tick, check_room, is_unpacked, no_zip, unpack, write_one
from segfield.data.kaggle_files import NAME, PAGE, download
from segfield.files import whole

# Tables are small and may lack where zips were downloaded by hand; photographs and masks may not.
PARTS = {
    "train": ("train_masks.csv.zip", "metadata.csv.zip", "train_masks.zip", "train.zip"),
    "test": ("sample_submission.csv.zip", "test.zip"),
    "hq": ("train_hq.zip", "test_hq.zip"),
}
_PLACES = {"train": ("train", "train_masks"), "test": ("test",), "hq": ("train_hq", "test_hq")}
_DOWNLOADS = "zips"  # folder in the data's for what is being downloaded
_PHOTOGRAPH = re.compile(r"([0-9a-f]{12})_(\d\d)\.jpg")
_MASK = re.compile(r"([0-9a-f]{12})_(\d\d)_mask\.gif")


class Bar(Protocol):
    """Shows how far an archive is, as long as its context lives."""

    def __call__(self, name: str) -> contextlib.AbstractContextManager[Tick]:
        """Begin with an archive."""


@dataclass(frozen=True)
class Counts:
    """What the whole competition has."""

    cars: int = 318
    views: int = 16
    test: int = 100_064

    def of(self, place: str) -> int:
        """Return the number of files in one of the folders."""
        return self.test if place.startswith("test") else self.cars * self.views


def prepare(folder: Path, parts: Sequence[str] | None, zips: Path | None, expected: Counts, bar: Bar) -> list[str]:
    """Unpack what is wanted: from zips that lie there, else downloaded; what was unpacked before is left.

    Args:
        folder: takes train/, train_masks/, ...; zips may lie in it too.
        parts: of PARTS; None: train and test, or, with `zips`, train and what lies there.
        zips: folder with zips that the user has downloaded; None: missing ones are downloaded.
        expected: of the competition; files that are there in these numbers are not downloaded.
        bar: of the terminal.

    Returns:
        The parts that are there now.

    Raises:
        ValueError: if a zip is missing or damaged: which, and how to get it. AccessError: if Kaggle refuses.
        OSError: if the disk is full or cannot be written.
        ModuleNotFoundError: if the client is needed and not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = parts or ("train", "test")
    if zips is not None and parts is None:
        chosen = [
            "train",
            *(part for part in ("test", "hq") if any(_found(f"{place}.zip", zips) for place in _PLACES[part])),
        ]
    names = [name for part in chosen for name in PARTS[part]]
    if zips is not None:
        _check_zips(names, zips, folder)
    for name in names:
        archive = next((found for place in (zips, folder) if place and (found := _found(name, place))), None)
        if is_unpacked(name, folder, archive if archive and archive.name == name else None):
            continue
        if archive is None and zips is None and not _is_there(name, folder, expected):
            archive = download(name, folder / _DOWNLOADS)
        if archive is not None:
            with bar(name) as tick:
                _take(name, archive, folder, tick)
    with contextlib.suppress(OSError):
        (folder / _DOWNLOADS).rmdir()
    return list(chosen)


def _found(name: str, place: Path) -> Path | None:
    """Find a zip; or the table that it holds; or the bundle of all zips that holds it."""
    for path in (place / name, place / name.removesuffix(".zip")):
        if path.is_file() and (path.name == name or name.endswith(".csv.zip")):
            return path
    bundle = place / f"{NAME}.zip"
    if bundle.is_file() and zipfile.is_zipfile(bundle):
        with zipfile.ZipFile(bundle) as opened:
            return bundle if name in opened.namelist() else None
    return None


def _check_zips(names: Iterable[str], zips: Path, folder: Path) -> None:
    """Refuse a folder that lacks a zip of photographs or masks, or whose bundle of all of them is none."""
    if not zips.is_dir():
        raise ValueError(f"zips={zips} is no folder. Give the folder with train.zip and train_masks.zip.")
    lacking = [
        name
        for name in names
        if not name.endswith(".csv.zip") and not _found(name, zips) and not is_unpacked(name, folder)
    ]
    bundle = zips / f"{NAME}.zip"
    if lacking and bundle.is_file() and not zipfile.is_zipfile(bundle):
        raise ValueError(no_zip(bundle, "its end is missing"))
    if lacking:
        raise ValueError(
            f"{zips} lacks {', '.join(lacking)}. Download them at {PAGE}/data (log in and accept the rules there), "
            "or leave zips= out to have them downloaded."
        )


def _take(name: str, archive: Path, folder: Path, tick: Tick) -> None:
    """Unpack one zip, wherever it was found; what was downloaded for this is deleted then."""
    if archive.suffix == ".csv":
        if archive.parent.resolve() != folder.resolve():
            with archive.open("rb") as source, whole(folder / archive.name) as target:
                shutil.copyfileobj(source, target)
        return
    if archive.name != name:  # the bundle: its zips are stored, not compressed again
        inner = folder / _DOWNLOADS / name
        with zipfile.ZipFile(archive) as opened:
            check_room(folder, opened.getinfo(name).file_size, f"taking {name} out of {archive.name}")
            inner.parent.mkdir(parents=True, exist_ok=True)
            write_one(archive, opened, opened.getinfo(name), inner)
        archive = inner
    unpack(archive, folder, "" if name.endswith(".csv.zip") else name.removesuffix(".zip"), tick)
    if archive.parent == folder / _DOWNLOADS:
        archive.unlink()


def differences(folder: Path, parts: Sequence[str], expected: Counts) -> tuple[list[str], list[str]]:
    """Count what was unpacked.

    Returns:
        What is there, and what differs from the competition; a part that was not asked for is not counted.
    """
    there: list[str] = []
    wrong: list[str] = []
    for place in [place for part in parts for place in _PLACES[part]]:
        views = _views(folder / place)
        count, wanted = sum(views.values()), expected.of(place)
        what = "masks" if place == "train_masks" else "photographs"
        there.append(f"{place}/: {count:,} {what} of {len(views):,} cars")
        if count != wanted:
            wrong.append(f"{place}/ has {count:,} files of the competition's names, expected {wanted:,}.")
        if uneven := sorted(car for car, seen in views.items() if seen != expected.views):
            first = f"first {uneven[0]} with {views[uneven[0]]}"
            wrong.append(f"{place}/: cars with other than {expected.views} views: {len(uneven):,}, {first}.")
    return there, wrong


def _is_there(name: str, folder: Path, expected: Counts) -> bool:
    """Tell whether a zip's files lie in the folder, from another hand."""
    place = name.removesuffix(".zip")
    return sum(_views(folder / place).values()) == expected.of(place)


def _views(place: Path) -> Counter[str]:
    """Count the files of each car."""
    names = (path.name for path in place.iterdir()) if place.is_dir() else ()
    pattern = _MASK if place.name == "train_masks" else _PHOTOGRAPH
    return Counter(match[1] for name in names if (match := pattern.fullmatch(name)))
