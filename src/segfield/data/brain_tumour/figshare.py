"""The layout figshare: 3,064 slices of 233 patients, each a MATLAB file with image, outline and kind of tumour.

Source: Cheng 2017, figshare 1512427, brain tumor dataset, T1-weighted with contrast; the four folders of its zips, or
one. `<N>.mat` holds cjdata: image [H, W] int16 (512x512, some 256x256), tumorMask [H, W] uint8, label (1 meningioma,
2 glioma, 3 pituitary tumour), PID (the patient), tumorBorder (not used: the mask says the same).
cvind.mat, which lies beside the slices, holds the number of a fold for each N; no patient is in two folds.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segfield.data.brain_tumour.mat import fields
from segfield.data.brain_tumour.telling import Tell, Tree
from segfield.data.images import binary, check_sizes
from segfield.data.sample import Sample

log = logging.getLogger(__name__)

WANTED = "figshare (<N>.mat with cjdata, in the folder or below it)"
TUMOURS = ("meningioma", "glioma", "pituitary")  # of the labels 1, 2, 3
_SLICE = re.compile(r"([1-9]\d*)\.mat", re.IGNORECASE)
_FOLDS = "cvind"


def find(tree: Tree) -> dict[int, list[Path]]:
    """Return the files of each slice's number, the first of several in the tree's order first."""
    found: dict[int, list[Path]] = defaultdict(list)
    for folder, names in tree.items():
        for name in names:
            if match := _SLICE.fullmatch(name):
                found[int(match[1])].append(folder / name)
    return dict(sorted(found.items()))


def samples(
    root: Path,
    found: Mapping[int, Sequence[Path]],
    folds: Sequence[int] | None,
    tell: Tell,
) -> list[Sample]:
    """List the slices in the order of their numbers; the group is the patient, or with `folds` the fold.

    Args:
        root: that the paths are relative to.
        found: of find().
        folds: of read_folds(); None: none.
        tell: of what cannot be used.
    """
    copies = sum(len(paths) - 1 for paths in found.values())
    if copies:
        log.warning("figshare: %d slices are there twice: of each number the first file is used.", copies)
    listed: list[Sample] = []
    broken: dict[Path, str] = {}
    patients: dict[str, str] = {}
    for number, (path, *_) in found.items():
        try:
            patient, label = _facts(root / path)
            group = patient if folds is None else fold_of(folds, number, str(root / path))
        except ValueError as error:
            broken[path] = str(error)
            continue
        patients[patient] = first = patients.get(patient, group)
        if first != group:
            raise ValueError(
                f"data.fold_file puts patient {patient} in {first} and {group}: give the set's own cvind.mat."
            )
        labels = {"patient": patient, "tumour": TUMOURS[label - 1]}
        listed.append(Sample(path.as_posix(), group, {"image": root / path}, labels=labels))
    if broken:
        others = f" {len(broken)} of {len(found)} slices cannot be used." if len(broken) > 1 else ""
        tell("unreadable", [path.as_posix() for path in broken], f"{next(iter(broken.values()))}{others}", True)
    log.info("figshare: %d slices of %d patients in %s.", len(listed), len(patients), root)
    return listed


def volume_of(path: Path, known: dict[Path, dict[str, list[Path]]]) -> tuple[Path, ...]:
    """Return the slices of a slice's patient that lie beside it, itself among them.

    Args:
        path: of the slice.
        known: takes the patients of each folder, which are read once.

    Raises:
        ValueError: if a slice in the folder cannot be used.
    """
    if path.parent not in known:
        patients: dict[str, list[Path]] = defaultdict(list)
        for name in sorted(other.name for other in path.parent.iterdir() if _SLICE.fullmatch(other.name)):
            patients[_facts(path.parent / name)[0]].append(path.parent / name)
        known[path.parent] = patients
    return tuple(known[path.parent].get(_facts(path)[0], [path]))


def _facts(path: Path) -> tuple[str, int]:
    """Return the patient and the label, without the pixels where the file allows."""
    cjdata = fields(path, ["PID", "label"], "cjdata")
    return _patient(path, cjdata["PID"]), _label(path, cjdata["label"])


def _patient(path: Path, value: np.ndarray) -> str:
    codes = value.ravel().tolist()
    name = "".join(map(str, codes) if value.dtype.kind in "US" else (chr(int(code)) for code in codes)).strip()
    if not name:
        raise ValueError(f"{path}: cjdata.PID is empty, expected the name of a patient. Copy or download it again.")
    return name


def _label(path: Path, value: np.ndarray) -> int:
    found = value.ravel().tolist()
    if len(found) != 1 or found[0] not in (1, 2, 3):
        names = ", ".join(f"{number} {name}" for number, name in enumerate(TUMOURS, start=1))
        raise ValueError(f"{path}: cjdata.label is {found}, expected one of {names}. Copy or download it again.")
    return int(found[0])


def read_slice(path: Path) -> np.ndarray:
    """Return the image as it is stored, [1, h, w].

    Raises:
        ValueError: if the file cannot be used; the message names it.
    """
    return _image(path, fields(path, ["image"], "cjdata")["image"])


def read_pair(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the image as it is stored [1, h, w], the tumour [h, w] uint8 of {0, 1}, and the label 1, 2 or 3.

    Raises:
        ValueError: if the file cannot be used; the message names it.
    """
    cjdata = fields(path, ["image", "tumorMask", "label"], "cjdata")
    image, mask = _image(path, cjdata["image"]), cjdata["tumorMask"]
    check_sizes(f"{path}: cjdata.image", image.shape[1:], "cjdata.tumorMask", mask.shape)
    return image, binary(mask, f"{path}: cjdata.tumorMask"), _label(path, cjdata["label"])


def _image(path: Path, image: np.ndarray) -> np.ndarray:
    if image.ndim != 2 or image.dtype.kind not in "iuf" or not image.size or not np.isfinite(image).all():
        raise ValueError(
            f"{path}: cjdata.image has shape {image.shape} of {image.dtype}, expected numbers [H, W]. "
            "Copy or download it again."
        )
    return image[None]


def read_folds(path: Path) -> list[int]:
    """Return the fold of each slice N at place N - 1, from cvind.mat.

    Raises:
        ValueError: if the file holds something else.
        FileNotFoundError: if it is not there.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"data.fold_file: there is no file {path}. Give the path of the figshare set's cvind.mat, or its name if "
            "it lies in data.root."
        )
    folds = fields(path, [_FOLDS])[_FOLDS].ravel()
    if not folds.size or folds.dtype.kind not in "iuf" or not np.all((folds >= 1) & (folds == np.floor(folds))):
        raise ValueError(f"{path}: {_FOLDS} must hold the number of a fold, 1 or more, for each slice.")
    return [int(fold) for fold in folds]


def fold_of(folds: Sequence[int], number: int, file: str) -> str:
    """Return the group of a slice: "fold1" and so on.

    Raises:
        ValueError: if there is no slice of that number; file names it.
    """
    if not 1 <= number <= len(folds):
        raise ValueError(
            f"{file}: data.fold_file has the folds of the slices 1 to {len(folds)}, not of {number}. Leave "
            "data.fold_file out, or give that of this data."
        )
    return f"fold{folds[number - 1]}"
