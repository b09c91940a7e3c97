"""The layout lgg ("kaggle_3m"): brain MRI of 110 patients with lower-grade glioma, 3,929 slices 256x256.

Source: Buda et al. 2019, arXiv 1906.03720, of TCGA-LGG; CC BY-NC-SA 4.0. `<patient>/<patient>_<n>.tif` holds three
sequences as R, G, B: pre-contrast, FLAIR, post-contrast; where one is missing FLAIR stands in its place.
`<patient>_<n>_mask.tif` outlines what FLAIR shows; two thirds are empty. data.csv describes the patients.
"""

import csv
import logging
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from segfield.data.brain_tumour.telling import Tell, Tree
from segfield.data.images import read_mask
from segfield.data.sample import Sample

log = logging.getLogger(__name__)

WANTED = "lgg (<patient>/<patient>_<n>.tif with <patient>_<n>_mask.tif)"
_FILE = re.compile(r"(.+)_(\d+)(_mask)?\.tiff?", re.IGNORECASE)
_TABLE, _PATIENT = "data.csv", "Patient"
_FACTS = ("RNASeqCluster", "histological_type", "neoplasm_histologic_grade")  # columns that become labels
_THREADS = 8  # a disk answers several at once


@dataclass(frozen=True)
class Patient:
    """File names by the number of the slice."""

    folder: Path
    images: dict[int, str] = field(default_factory=dict)
    masks: dict[int, str] = field(default_factory=dict)
    twice: list[tuple[str, str]] = field(default_factory=list)  # files of one number


def find(tree: Tree) -> dict[str, list[Patient]]:
    """Return each patient's folders, that with most slices first, else in the tree's order; it bears their name."""
    found: dict[str, list[Patient]] = {}
    for folder, names in tree.items():
        patient = Patient(folder)
        for name in names:
            match = _FILE.fullmatch(name)
            if match is None or match[1] != folder.name:
                continue
            first = (patient.masks if match[3] else patient.images).setdefault(int(match[2]), name)
            if first != name:
                patient.twice.append((first, name))
        if patient.images:
            found.setdefault(folder.name, []).append(patient)
    return {name: sorted(folders, key=lambda patient: -len(patient.images)) for name, folders in found.items()}


def samples(
    root: Path,
    found: Mapping[str, Sequence[Patient]],
    tell: Tell,
    *,
    empty: bool,
) -> list[Sample]:
    """List the slices, patient by patient in the order of their numbers; the group is the patient.

    Args:
        root: that the folders are relative to.
        found: of find().
        tell: of what cannot be used.
        empty: find out by the files which masks are empty.
    """
    patients = [folders[0] for folders in found.values()]
    _tell_copies(root, found)
    _tell_unpaired(root, patients, tell)
    facts = _facts(root, patients)
    listed = []
    for patient in patients:
        folder, name = root / patient.folder, patient.folder.name
        for number in sorted(patient.images.keys() & patient.masks.keys()):
            files = {"image": folder / patient.images[number], "mask": folder / patient.masks[number]}
            id_ = (patient.folder / patient.images[number]).as_posix()
            listed.append(Sample(id_, name, files, labels=facts.get(name.rpartition("_")[0], {})))
    log.info("LGG: %d slices of %d patients in %s.", len(listed), len(patients), root)
    return _with_empty(listed) if empty else listed


def _tell_copies(root: Path, found: Mapping[str, Sequence[Patient]]) -> None:
    """Say which patients are there twice: the zip holds the whole tree beside itself."""
    copies = [other for folders in found.values() for other in folders[1:]]
    if copies:
        used = {str(root / folders[0].folder.parent) for folders in found.values()}
        unused = {str(root / other.folder.parent) for other in copies}
        log.warning(
            "LGG: %d patients are there twice, in %s and in %s: only what is in the first is used.",
            *(len(copies), ", ".join(sorted(used)), ", ".join(sorted(unused))),
        )


def _tell_unpaired(root: Path, patients: Sequence[Patient], tell: Tell) -> None:
    def without(images: bool) -> list[str]:
        """List images without a mask, or masks without an image."""
        found: list[str] = []
        for patient in patients:
            names, others = (patient.images, patient.masks) if images else (patient.masks, patient.images)
            found.extend((patient.folder / names[number]).as_posix() for number in sorted(names.keys() - others.keys()))
        return found

    twice = [(patient.folder, *names) for patient in patients for names in patient.twice]
    if twice:
        folder, first, second = twice[0]
        message = f"{root / folder} has both {first} and {second}: which one counts? Remove one of the two."
        tell("duplicate", [(folder / name).as_posix() for folder, _, name in twice], message, True)
    if missing := without(images=True):
        count = sum(len(patient.images) for patient in patients)
        message = (
            f"{len(missing)} of {count} slices in {root} have no <patient>_<n>_mask.tif beside them, first "
            f"{', '.join(missing[:3])}. Add the masks or remove the slices."
        )
        tell("missing", missing, message, True)
    if orphaned := without(images=False):
        message = f"{len(orphaned)} masks in {root} have no image, first {orphaned[0]}: left out."
        tell("orphaned", orphaned, message, False)


def _facts(root: Path, patients: Sequence[Patient]) -> dict[str, dict[str, str]]:
    """Return what data.csv says of patients, by their names without the date that folders have; {} without one."""
    for table in dict.fromkeys(root / patient.folder.parent / _TABLE for patient in patients):
        if not table.is_file():
            continue
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
            return {row[_PATIENT]: {name: row[name] for name in _FACTS if row.get(name)} for row in rows}
        except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
            log.warning("%s cannot be read as the patients' table (column %s): %r; not used.", table, _PATIENT, error)
    return {}


def _with_empty(listed: list[Sample]) -> list[Sample]:
    with ThreadPoolExecutor(_THREADS) as threads:
        known = threads.map(_is_empty, (sample.attributes["mask"] for sample in listed))
        return [sample._replace(empty=empty) for sample, empty in zip(listed, known, strict=True)]


def _is_empty(mask: Path) -> bool | None:
    try:
        return not read_mask(mask).any()
    except (ValueError, OSError):
        return None  # told when the sample is read


def volume_of(path: Path) -> tuple[Path, ...]:
    """Return the slices beside a slice `<patient>_<n>.tif`, itself among them; of another name itself alone."""
    match = _FILE.fullmatch(path.name)
    if match is None or match[3]:
        return (path,)
    others = ((_FILE.fullmatch(other.name), other) for other in path.parent.iterdir())
    numbered = [(int(found[2]), other) for found, other in others if found and not found[3] and found[1] == match[1]]
    return tuple(other for _, other in sorted(numbered))
