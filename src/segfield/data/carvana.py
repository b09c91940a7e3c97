"""Carvana cars: 1918x1280 RGB photographs and binary masks, 16 views per car.

Source: Kaggle, Carvana Image Masking Challenge (2017). Split by car, never by view.
Layouts: photographs in train/, train_hq/ or the root itself; masks `<photograph>_mask.gif` (or png) of {0, 1} or
{0, 255} in train_masks/, beside the photographs or in the root; without mask files, train_masks.csv in the root
or beside the photographs. metadata.csv in the root describes the cars; test/ is for `predict`.
"""

import csv
import logging
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from segfield.data import rle
from segfield.data.images import binary, check_same_size, file_size, nearest, read_image, read_mask
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample
from segfield.data.tree import walked

log = logging.getLogger(__name__)

_PHOTOGRAPH = re.compile(r"([0-9a-f]{12}_\d\d)\.(?i:jpg|jpeg|png)")
_FOLDERS = ("train", "train_hq")
_TABLE, _ABOUT = "train_masks.csv", "metadata.csv"
_COLUMNS = ("id", "year", "make", "model", "trim1", "trim2")
_MASK = re.compile(r"([0-9a-f]{12}_\d\d)_mask\.(?i:gif|png)")


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Carvana(PixelwiseData):
    """Photographs [3, H, W] and masks of cars; the group is the car.

    Args:
        root: folder of the unpacked competition.
        photographs: "train" or "train_hq"; None: the first of these and the root itself that has any.
    """

    picture_alone: ClassVar[bool] = True
    root: str | None = None
    photographs: str | None = None

    def samples(self) -> list[Sample]:
        """List the photographs of one folder, each with its mask or its run lengths, and the car's labels."""
        if self.root is None:
            raise FileNotFoundError(_nothing("data.root is not set"))
        if self.photographs not in (None, *_FOLDERS):
            raise ValueError(
                f"data.photographs={self.photographs} is none of {', '.join(_FOLDERS)}. Leave it null for the first "
                "folder that has any."
            )
        root = Path(self.root)
        if not root.is_dir():
            raise FileNotFoundError(_nothing(f"there is no folder {root.absolute()}"))
        for folder in [self.photographs] if self.photographs else (*_FOLDERS, "."):
            photographs, beside = _listed(root / folder)
            if photographs:
                return self._paired(root, folder, photographs, beside)
        place = root / (self.photographs or ".")
        raise FileNotFoundError(_nothing(f"no cars at all in {place.absolute()}"))

    def _paired(self, root: Path, folder: str, photographs: dict[str, str], beside: dict[str, str]) -> list[Sample]:
        """Join the photographs in root / folder with their masks."""
        truths, source = _truths(root, folder, beside)
        missing = sorted(photographs.keys() - truths.keys())
        if missing:
            self.found(
                "missing",
                [str(root / folder / photographs[stem]) for stem in missing],
                f"{len(missing)} of {len(photographs)} photographs in {root / folder} have no mask, first "
                f"{', '.join(photographs[stem] for stem in missing[:3])}. Looked for <photograph>_mask.gif or .png in "
                f"{root / 'train_masks'}, {root / folder} and {root}, and for rows of {root / _TABLE}. "
                "Add the masks or remove the photographs.",
            )
        surplus = sorted(truths.keys() - photographs.keys())
        if surplus and self.findings is None:
            log.warning("%d masks of %s have no photograph, first %s: left out.", len(surplus), source, surplus[0])
        elif surplus:
            self.found("orphaned", [str(truths[stem].get("mask", f"{source}, row {stem}")) for stem in surplus], "")
        about = _labels(root / _ABOUT, {stem.rpartition("_")[0] for stem in photographs})
        samples = []
        for stem in (stem for stem in photographs if stem in truths):
            name, car = photographs[stem], stem.rpartition("_")[0]
            attributes = {"image": root / folder / name, **truths[stem]}
            samples.append(Sample((Path(folder) / name).as_posix(), car, attributes, labels=about.get(car, {})))
        cars = len({sample.group for sample in samples})
        log.info("Carvana: %d photographs of %d cars in %s, masks from %s.", len(samples), cars, root / folder, source)
        return samples

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        """Read one pair: image [3, H, W] uint8, target [H, W] uint8 of {0, 1}.

        Raises:
            ValueError: if a file is damaged, or the mask is not binary or has another size than its photograph.
        """
        image, mask = sample.attributes["image"], sample.attributes.get("mask")
        if mask is None:
            try:
                drawn = rle.decode(sample.attributes[_TABLE], file_size(image))
            except ValueError as error:
                raise ValueError(f"{_TABLE}, row of {image}: {error}") from error
            return {"image": read_image(image, self.in_channels, size), "target": nearest(drawn, size)}
        check_same_size(image, mask)
        target = binary(read_mask(mask, size), mask)
        return {"image": read_image(image, self.in_channels, size), "target": target}

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        """Read an image without its mask: [C, H, W] uint8."""
        return read_image(path, self.in_channels, size)


def _listed(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the photographs and the masks of one folder: file names by `<car>_<NN>`.

    Raises:
        ValueError: if two files of a kind share it.
    """
    photographs: dict[str, str] = {}
    masks: dict[str, str] = {}
    for name in next(walked(folder))[1] if folder.is_dir() else ():
        for pattern, kind in ((_PHOTOGRAPH, photographs), (_MASK, masks)):
            if match := pattern.fullmatch(name):
                first = kind.setdefault(match[1], name)
                if first != name:
                    raise ValueError(f"{folder} has both {first} and {name}: which one counts? Remove one of the two.")
    return photographs, masks


def _truths(root: Path, folder: str, beside: dict[str, str]) -> tuple[dict[str, dict[str, str | Path]], str]:
    """Return {"mask": path} or {"train_masks.csv": run lengths} by `<car>_<NN>`, and where they are from."""
    places = {"train_masks": _listed(root / "train_masks")[1], folder: beside}
    if folder != ".":
        places["."] = _listed(root)[1]
    for place, masks in places.items():
        if masks:
            kinds = " and ".join(sorted({f"*_mask{Path(name).suffix}" for name in masks.values()}))
            return {stem: {"mask": root / place / name} for stem, name in masks.items()}, f"{root / place}/{kinds}"
    for table in (root / _TABLE, root / folder / _TABLE):
        if table.is_file():
            return {Path(name).stem: {_TABLE: row} for name, row in rle.read_masks_csv(table).items()}, str(table)
    return {}, "nowhere"


def _labels(table: Path, cars: Set[str]) -> dict[str, dict[str, str]]:
    """Read year, make, model and trims of the cars from metadata.csv; nothing is trained on them, so it may lack."""
    if not table.is_file():
        return {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            if tuple(rows.fieldnames or ())[: len(_COLUMNS)] != _COLUMNS:
                header = ",".join(rows.fieldnames or ())[:60]
                log.warning("%s begins with %r, expected %r: cars have no labels.", table, header, ",".join(_COLUMNS))
                return {}
            about = {row["id"]: {key: row[key] or "" for key in _COLUMNS[1:]} for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        log.warning("%s cannot be read (%s): cars have no labels.", table, error)
        return {}
    if without := sorted(cars - about.keys()):
        log.warning("%s has no row of %d of the %d cars, first %s.", table, len(without), len(cars), without[0])
    return {car: about[car] for car in cars & about.keys()}


def _nothing(found: str) -> str:
    return (
        f"Carvana: {found}. Looked for photographs `<car>_<NN>.jpg` (12 hex digits, view 01 to 16) in train/, "
        "train_hq/ and the folder itself. Get train.zip and train_masks.zip from Kaggle's Carvana Image Masking "
        "Challenge and unpack them in one folder; name it by data.root=<folder>, or put it at $SEGFIELD_DATA/carvana. "
        "To try without: `python -m segfield prepare demo carvana <folder>` draws cars in this layout, and data=blobs "
        "needs no files."
    )
