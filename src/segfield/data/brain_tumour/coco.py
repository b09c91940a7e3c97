"""The layout coco: train, valid (or val) and test, each with pictures and _annotations.coco.json, as Roboflow exports.

`<stem>_jpg.rf.<hash>.jpg` is a picture, or one of its augmented copies: the stem is the group. In "Brain Tumor Image
DataSet" (tumorseg) the stem is the number of a figshare slice, whose neighbours lie in other parts.
Not here: what the JSON holds (annotations.py).
"""

import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segfield.data.brain_tumour.annotations import JSON, Picture, is_box, painted, read_annotations
from segfield.data.brain_tumour.figshare import fold_of
from segfield.data.brain_tumour.telling import Tell, Tree
from segfield.data.images import file_size
from segfield.data.sample import Sample

log = logging.getLogger(__name__)

WANTED = f"coco (train, valid or val, test, each with {JSON})"
_PARTS = {"train": "train", "valid": "val", "val": "val", "test": "test"}
_ROBOFLOW = re.compile(r"(.+)[_.](?:jpe?g|png|bmp|tiff?|webp)\.rf\.\w+\.\w+", re.IGNORECASE)
_PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_FIGSHARE = range(1, 3065)  # numbers of its slices


@dataclass(frozen=True)
class Classes:
    """What categories become: the index of their name; with at most two classes, tumour or not, 1 whichever it is."""

    names: Sequence[str]
    count: int

    def of(self, category: str) -> int:
        """Return the class of a category's name."""
        return 1 if self.count <= 2 else list(self.names).index(_fit(category))

    def check(self, categories: Mapping[int, str], pictures: Sequence[Picture], file: Path) -> None:
        """Refuse categories in use that no class has the name of.

        Raises:
            ValueError: naming the first one, its picture, and what the JSON knows.
        """
        for picture in pictures if self.count > 2 else ():
            for category, _ in picture.outlines:
                if _fit(categories[category]) not in self.names[1:]:
                    used = {one for other in pictures for one, _ in other.outlines}
                    # Roboflow's category 0 is what stands above the others, and of no outline.
                    names = [_fit(name) for one, name in sorted(categories.items()) if one or one in used]
                    raise ValueError(
                        f"{file}: {picture.name} has the category {category} {categories[category]!r}, data.classes "
                        f"knows {', '.join(self.names[1:])}. Name the categories: data.out_channels={len(names) + 1} "
                        f"'data.classes=[background,{','.join(map(json.dumps, names))}]'; data.out_channels=1 takes "
                        "all as tumour."
                    )


def _fit(category: str) -> str:
    """Return a category's name as a class may have it: letters, digits, _ and -."""
    return re.sub(r"[^\w-]+", "_", category).strip("_")


def find(tree: Tree) -> dict[Path, list[Path]]:
    """Return the folders with annotations by their export's folder: parts lie side by side."""
    found: dict[Path, list[Path]] = defaultdict(list)
    for folder, names in tree.items():
        if JSON in names:
            found[folder.parent if folder.name in _PARTS else folder].append(folder)
    return dict(found)


def samples(
    root: Path,
    found: Mapping[Path, Sequence[Path]],
    tree: Tree,
    classes: Classes,
    folds: Sequence[int] | None,
    tell: Tell,
    *,
    parts: bool,
) -> list[Sample]:
    """List the pictures; the group is the stem, or with `folds` the fold, which leaves the export no parts of its own.

    Args:
        root: that the folders are relative to.
        found: of find().
        tree: what lies there.
        classes: of the categories.
        folds: of figshare.read_folds(); None: none.
        tell: of what cannot be used.
        parts: the export's own are going to be used: tell where they leak.

    Raises:
        ValueError: if a file is damaged, or two folders are the same part.
        FileNotFoundError: if not one picture is there.
    """
    folders = _folders(root, found)
    has_parts = folds is None and len(folders) > 1
    listed: list[Sample] = []
    every: dict[str, list[Picture]] = {}
    for folder, part in folders.items():
        categories, every[part] = read_annotations(root / folder / JSON)
        classes.check(categories, every[part], root / folder / JSON)
        for picture in _here(folder, every[part], tree, tell, root):
            sample = _sample(root, folder, picture, categories, classes, folds)
            listed.append(sample._replace(part=part) if has_parts else sample)
    names = ", ".join(map(str, folders))
    if not listed:
        raise FileNotFoundError(
            f"Not one picture that {JSON} lists is in {root}: looked in {names}. Unpack the export's pictures beside "
            "it."
        )
    _tell_boxes(root, every)
    if has_parts and parts:
        _tell_neighbours(every)
    log.info("COCO: %d pictures in %s of %s.", len(listed), names, root)
    return listed


def _folders(root: Path, found: Mapping[Path, Sequence[Path]]) -> dict[Path, str]:
    """Return the part of each folder of the one export."""
    if len(found) > 1:
        raise ValueError(
            f"{root} holds {len(found)} COCO exports: {', '.join(str(root / folder) for folder in found)}. Name one "
            "of them by data.root."
        )
    folders = {folder: _PARTS.get(folder.name, "train") for folder in next(iter(found.values()))}
    if len(set(folders.values())) < len(folders):
        counts = Counter(folders.values())
        names = ", ".join(str(root / folder) for folder, part in folders.items() if counts[part] > 1)
        raise ValueError(f"Two folders are the same part: {names}. Remove one of them.")
    return folders


def _here(folder: Path, pictures: Sequence[Picture], tree: Tree, tell: Tell, root: Path) -> list[Picture]:
    """Return the pictures that are in the folder; tell of those that are not, and of pictures that nobody lists."""
    there = {(parent / name).as_posix() for parent, names in tree.items() for name in names}
    here = [picture for picture in pictures if (folder / picture.name).as_posix() in there]
    listed = {picture.name for picture in pictures}
    absent = sorted(listed - {picture.name for picture in here})
    if absent:
        tell(
            "absent",
            [(folder / name).as_posix() for name in absent],
            f"{len(absent)} of {len(pictures)} pictures that {root / folder / JSON} lists are not there, first "
            f"{absent[0]}: left out.",
            False,
        )
    own = [name for name in tree[folder] if name.lower().endswith(_PICTURES)]
    surplus = [name for name in own if name not in listed]
    if surplus:
        tell(
            "orphaned",
            [(folder / name).as_posix() for name in surplus],
            f"{len(surplus)} pictures in {root / folder} are not in its {JSON}, first {surplus[0]}: left out.",
            False,
        )
    return here


def _sample(
    root: Path,
    folder: Path,
    picture: Picture,
    categories: Mapping[int, str],
    classes: Classes,
    folds: Sequence[int] | None,
) -> Sample:
    file = root / folder / picture.name
    stem = stem_of(picture.name)
    if folds is not None and not stem.isdecimal():
        raise ValueError(f"{file}: data.fold_file needs names that begin with a figshare slice's number. Leave it out.")
    masks = [[classes.of(categories[category]), outline] for category, outline in picture.outlines]
    # In an order that does not depend on the JSON's.
    content = json.dumps({"size": picture.size, "masks": sorted(masks, key=json.dumps)})
    names = sorted({categories[category] for category, _ in picture.outlines})
    return Sample(
        (folder / picture.name).as_posix(),
        stem if folds is None else fold_of(folds, int(stem), str(file)),
        {"image": file, "annotations": content},
        empty=not masks,
        labels={"category": "+".join(names)} if names else {},
    )


def stem_of(name: str) -> str:
    """Return a picture's name before Roboflow, which stands before `_jpg.rf.`; else its own without suffix."""
    match = _ROBOFLOW.fullmatch(name)
    return match[1] if match else Path(name).with_suffix("").as_posix()


def _tell_boxes(root: Path, every: Mapping[str, Sequence[Picture]]) -> None:
    outlines = [outline for pictures in every.values() for picture in pictures for _, outline in picture.outlines]
    if outlines and all(map(is_box, outlines)):
        log.warning(
            "ALL %d OUTLINES IN %s ARE RECTANGLES: boxes, not tumours. A score on them says how well boxes are "
            "drawn; data with true outlines is needed to measure segmentation.",
            *(len(outlines), root),
        )


def _tell_neighbours(every: Mapping[str, Sequence[Picture]]) -> None:
    """Warn where pictures are numbered as figshare's slices, and a patient's slices lie in train and elsewhere."""
    stems = {part: {stem_of(picture.name) for picture in pictures} for part, pictures in every.items()}
    if not all(stem.isdecimal() and int(stem) in _FIGSHARE for found in stems.values() for stem in found):
        return
    numbers = {part: set(map(int, found)) for part, found in stems.items()}
    for part in ("test", "val"):
        held, train = numbers.get(part, set()), numbers.get("train", set())
        near = [number for number in held if {number - 1, number + 1} & train]
        if near:
            log.warning(
                "The names are numbers of figshare slices: %d of the %d slices listed in %s (%.0f %%) have N-1 or N+1 "
                "in train, mostly of the same patient, so its score is too good. Use "
                "data.fold_file=<figshare's cvind.mat> data.folds=5 data.fold=0.",
                *(len(near), len(held), part, 100 * len(near) / len(held)),
            )


def target_of(image: Path, content: str) -> np.ndarray:
    """Paint a sample's annotations: [H, W] uint8 of classes.

    Raises:
        ValueError: if the picture has another size than the JSON says.
    """
    annotations = json.loads(content)
    size, found = tuple(annotations["size"]), file_size(image)
    if size != found:
        raise ValueError(
            f"{image} is {found[0]}x{found[1]} but {JSON} says {size[0]}x{size[1]} (HxW): outlines fit only the size "
            "they were drawn at. Copy the export's own pictures."
        )
    return painted([(class_, outline) for class_, outline in annotations["masks"]], size)
