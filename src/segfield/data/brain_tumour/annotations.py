"""_annotations.coco.json: what it lists, checked, and its outlines as pixels.

Polygons become run lengths by pycocotools, as everywhere. It trusts what it is given: of run lengths that end early it
shows whatever the memory held, a polygon of four numbers it takes for a box. So all is checked before.
"""

import json
import math
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from segfield.data.images import diagnosis

JSON = "_annotations.coco.json"
_MOST = 2**30  # pixels of a picture
_KINDS = {int: "a whole number", str: "a word", list: "a list", dict: "a mapping"}


@dataclass
class Picture:
    """A picture that a file lists; outlines are (category, segmentation) in the file's order."""

    name: str
    size: tuple[int, int]  # H, W
    outlines: list[tuple[int, Any]] = field(default_factory=list)


def read_annotations(path: Path) -> tuple[dict[int, str], list[Picture]]:
    """Return the names of the categories by their ids, and the pictures with their outlines.

    Raises:
        ValueError: if the file is damaged, or something else than it should be: what was found.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(diagnosis(path, error)) from error
    try:
        categories = {_of(entry, "id", int): _of(entry, "name", str) for entry in _entries(content, "categories")}
        pictures = _pictures(_entries(content, "images"))
        for entry in _entries(content, "annotations"):
            _add(entry, pictures, categories)
    except (ValueError, OverflowError) as error:  # a number of 400 digits is no float
        raise ValueError(f"{path}: {error} Export it again as COCO segmentation.") from error
    return categories, list(pictures.values())


def _entries(content: Any, name: str) -> list[Any]:
    if not isinstance(content, dict):
        raise ValueError(f"expected a mapping with images, annotations and categories, found {type(content).__name__}.")
    if not isinstance(content.get(name), list):
        raise ValueError(f"expected a list {name!r}, found {', '.join(map(str, content))[:200] or 'nothing'}.")
    return list(content[name])


def _of(entry: Any, name: str, kind: type) -> Any:
    value = entry.get(name) if isinstance(entry, dict) else None
    if type(value) is not kind:
        raise ValueError(f"{name!r} must be {_KINDS[kind]}, found {str(value)[:80]!r} in {str(entry)[:200]}.")
    return value


def _pictures(entries: Sequence[Any]) -> dict[int, Picture]:
    found: dict[int, Picture] = {}
    names: set[str] = set()
    for entry in entries:
        name, size = _of(entry, "file_name", str), (_of(entry, "height", int), _of(entry, "width", int))
        if (
            name.startswith("/")
            or "\\" in name
            or "\0" in name
            or posixpath.normpath(name) != name
            or ".." in name.split("/")
        ):
            raise ValueError(f"the file_name {name!r} leads out of the folder.")
        if min(size) < 1 or size[0] * size[1] > _MOST:
            raise ValueError(f"{name} has {size[0]}x{size[1]} pixels, expected at least 1 and at most {_MOST}.")
        id_ = _of(entry, "id", int)
        if id_ in found or name in names:
            raise ValueError(f"the image {id_} ({name}) stands twice.")
        found[id_] = Picture(name, size)
        names.add(name)
    return found


def _add(entry: Any, pictures: Mapping[int, Picture], categories: Mapping[int, str]) -> None:
    """Give an annotation to its picture."""
    id_, picture, category = _of(entry, "id", int), _of(entry, "image_id", int), _of(entry, "category_id", int)
    if picture not in pictures:
        raise ValueError(f"annotation {id_} is of the image {picture}, which is not listed.")
    if category not in categories:
        known = ", ".join(f"{number} {name}" for number, name in sorted(categories.items()))
        raise ValueError(
            f"annotation {id_} of {pictures[picture].name} has category_id {category}, which is none of the "
            f"categories: {known}."
        )
    segmentation = entry.get("segmentation")
    what = _wrong(segmentation, pictures[picture].size)
    if what:
        raise ValueError(f"annotation {id_} of {pictures[picture].name} {what}.")
    pictures[picture].outlines.append((category, segmentation))


def _wrong(segmentation: Any, size: tuple[int, int]) -> str:
    """Say why pycocotools must not see a segmentation; nothing where it may."""
    if isinstance(segmentation, dict):
        return _wrong_runs(segmentation, size)
    if not isinstance(segmentation, list) or not segmentation:
        return "has no outline (a box alone is none)"
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            return "has a polygon that is no list of x, y of three corners or more"
        if not all(type(number) in (int, float) and math.isfinite(number) for number in polygon):
            return "has a polygon with something else than numbers"
        for numbers, side, axis in ((polygon[0::2], size[1], "x"), (polygon[1::2], size[0], "y")):
            if min(numbers) < -side or max(numbers) > 2 * side:
                return f"has a polygon from {axis}={min(numbers)} to {max(numbers)}, outside of its {side} pixels"
    return ""


def _wrong_runs(segmentation: Mapping[str, Any], size: tuple[int, int]) -> str:
    counts = segmentation.get("counts")
    if segmentation.get("size") != list(size):
        return f"has run lengths of the size {segmentation.get('size')}, its image is {list(size)} [H,W]"
    try:
        runs = _runs(counts) if isinstance(counts, str) else counts
    except ValueError:
        return "has run lengths that are damaged"
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        return "has run lengths that are neither whole numbers nor COCO's text of them"
    if sum(runs) != size[0] * size[1]:
        return f"has run lengths of {sum(runs)} pixels in all, its image has {size[0] * size[1]}"
    return ""


def _runs(text: str) -> list[int]:
    """Decode COCO's text: 5 bits a character, lowest first; from the third on a number is added to the last but one.

    Raises:
        ValueError: if a character is none of its alphabet, or the text ends within a number.
    """
    runs: list[int] = []
    value = shift = 0
    for code in (ord(letter) - 48 for letter in text):
        if not 0 <= code < 64 or shift > 30:
            raise ValueError("no run length")
        value |= (code & 0x1F) << shift
        shift += 5
        if not code & 0x20:
            if code & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("cut short")
    return runs


def is_box(segmentation: Any) -> bool:
    """Tell whether an outline is one rectangle along the axes."""
    if not isinstance(segmentation, list) or len(segmentation) != 1:
        return False
    corners = set(zip(segmentation[0][0::2], segmentation[0][1::2], strict=True))
    return len(corners) == 4 and all(len({corner[axis] for corner in corners}) == 2 for axis in (0, 1))


def painted(outlines: Sequence[tuple[int, Any]], size: tuple[int, int]) -> np.ndarray:
    """Paint (class, segmentation) as [H, W] uint8; where several overlap the highest class wins, whatever the order."""
    target = np.zeros(size, dtype=np.uint8)
    for class_, segmentation in outlines:
        if isinstance(segmentation, list):
            segmentation = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
        counts = segmentation["counts"]
        counts = counts.decode("ascii") if isinstance(counts, bytes) else counts
        runs = _runs(counts) if isinstance(counts, str) else counts
        # Runs go column by column, of background first. pycocotools' own decode() warns under numpy 2.
        inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size, order="F")
        np.maximum(target, np.where(inside, np.uint8(class_), np.uint8(0)), out=target)
    return target
