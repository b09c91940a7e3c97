"""Your own images and masks: two folders, or one, of any format that Pillow reads.

A mask is found by its name: same subfolder, same stem or the stem in a pattern. It holds classes, or data.values says
which class each of its values is.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from segfield.data.images import check_same_size, nearest, read_image, read_mask, suffixes
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample
from segfield.data.tree import walked

log = logging.getLogger(__name__)

_STEM = "{stem}"
# As typed in a shell: Hydra's grammar wants the inner quotes.
_TYPED_PATTERN = f"'data.mask_pattern=\"{_STEM}_mask\"'"
_TYPED_GROUP = "'data.group_pattern=\"^([^/]+)/\"'"


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Folder(PixelwiseData):
    """Images [C, H, W] and masks from files. Folders are searched with their subfolders.

    Args:
        images: folder of the images.
        masks: folder of the masks; may be the same one.
        mask_pattern: name of a mask without its extension; {stem} stands for the image's.
        values: class of each value that masks hold; None: each file holds the classes, or {0, 255} where they are two.
        group_pattern: regular expression, searched in the image's path relative to `images`; its first group is
            the sample's group. None: each image is a group of its own.
    """

    picture_alone: ClassVar[bool] = True
    images: str | None = None
    masks: str | None = None
    mask_pattern: str = _STEM
    values: Mapping[int, int] | None = None
    group_pattern: str | None = None

    def samples(self) -> list[Sample]:
        """List the images, each with its mask."""
        images, masks = self._folders()
        _classes(self.values, max(2, self.out_channels))  # a wrong setting is told before anything is read
        before, after = self.mask_pattern.split(_STEM)
        if images == masks:
            every = _listed(images, without=None)
            truths = {key: path for key, path in every.items() if _is_mask(key.name, before, after)}
            found = {key: path for key, path in every.items() if key not in truths}
        else:
            found, truths = _listed(images, without=masks), _listed(masks, without=images)
        if not found:
            raise FileNotFoundError(
                f"No images in {images}: no file there or below has an extension that Pillow reads (.png, .tif, "
                ".jpg, ...). Use data.images=<folder with images>."
            )
        wanted = {key: key.with_name(before + key.name + after) for key in found}
        missing = sorted(str(found[key]) for key, mask in wanted.items() if mask not in truths)
        if missing:
            self.found(
                "missing",
                [str(images / name) for name in missing],
                f"{len(missing)} of {len(found)} images have no mask {self.mask_pattern}.* in {masks}, first "
                f"{', '.join(missing[:3])}. Set the masks' names, {_TYPED_PATTERN} for example, add the masks, "
                "or remove the images.",
            )
        surplus = sorted(truths.keys() - set(wanted.values()))
        if surplus and self.findings is None:
            log.warning("%d masks in %s have no image, first %s: left out.", len(surplus), masks, surplus[0])
        elif surplus:
            self.found("orphaned", [str(masks / truths[key]) for key in surplus], "")
        return [
            Sample(path.as_posix(), self._group(path), {"image": images / path, "mask": masks / truths[wanted[key]]})
            for key, path in found.items()
            if wanted[key] in truths
        ]

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        """Read one pair: image [C, H, W] uint8, target [H, W] uint8 of classes.

        Raises:
            ValueError: if a file is damaged, or the mask has another size than its image or values without a class.
        """
        image, mask = sample.attributes["image"], sample.attributes["mask"]
        check_same_size(image, mask)
        number = max(2, self.out_channels)
        target = _target(read_mask(mask), _classes(self.values, number), number, mask)
        return {"image": read_image(image, self.in_channels, size), "target": nearest(target, size)}

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        """Read an image without its mask: [C, H, W] uint8."""
        return read_image(path, self.in_channels, size)

    def _folders(self) -> tuple[Path, Path]:
        if self.images is None or self.masks is None:
            raise ValueError("data=folder needs data.images=<dir> data.masks=<dir>; they may be the same folder.")
        images, masks = Path(self.images).resolve(), Path(self.masks).resolve()
        for name, folder in (("images", images), ("masks", masks)):
            if not folder.is_dir():
                raise FileNotFoundError(f"data.{name}: there is no folder {folder}. Use data.{name}=<dir>.")
        if self.mask_pattern.count(_STEM) != 1 or "/" in self.mask_pattern:
            raise ValueError(
                f"data.mask_pattern={self.mask_pattern!r} must be a file name that holds {_STEM} once: it stands for "
                f"the image's name without extension. Use {_TYPED_PATTERN}."
            )
        if images == masks and self.mask_pattern == _STEM:
            raise ValueError(
                f"Images and masks are both in {images}, and data.mask_pattern={_STEM} makes each image its own mask. "
                f"Use {_TYPED_PATTERN} or another data.masks."
            )
        return images, masks

    def _group(self, path: Path) -> str:
        if self.group_pattern is None:
            return path.as_posix()
        try:
            pattern = re.compile(self.group_pattern)
        except re.error as error:
            raise ValueError(f"data.group_pattern={self.group_pattern!r} is no regular expression: {error}.") from error
        if pattern.groups < 1:
            raise ValueError(
                f"data.group_pattern={self.group_pattern!r} has no group in parentheses to name a sample's group. "
                f"Use for example {_TYPED_GROUP} for the first subfolder."
            )
        match = pattern.search(path.as_posix())
        if match is None or not match[1]:
            raise ValueError(
                f"data.group_pattern={self.group_pattern!r} finds no group in {path.as_posix()!r}. "
                "Change the pattern so that it fits every image, or move the image away."
            )
        return match[1]


def _listed(folder: Path, without: Path | None) -> dict[Path, Path]:
    """Return the relative paths of the image files, by the same without extension.

    Args:
        folder: searched with its subfolders.
        without: a folder below it that is not searched.

    Raises:
        ValueError: if two files differ in their extension only.
    """
    readable = suffixes()
    found: dict[Path, Path] = {}
    for parent, names in walked(folder, without=lambda place: place == without):
        for path in (parent / name for name in names):
            if path.suffix.lower() not in readable:
                continue
            first = found.setdefault(path.with_suffix(""), path)
            if first != path:
                raise ValueError(
                    f"{folder} has both {first} and {path}: which one counts? Remove one, or keep images and masks "
                    "in two folders."
                )
    return found


def _is_mask(stem: str, before: str, after: str) -> bool:
    return len(stem) > len(before) + len(after) and stem.startswith(before) and stem.endswith(after)


def _classes(values: Mapping[int, int] | None, number: int) -> dict[int, int] | None:
    """Check data.values against the number of classes; keys may be digits in quotes."""
    if values is None:
        return None
    try:
        classes = {int(value): int(label) for value, label in values.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"data.values={values} must map whole numbers to classes. Use 'data.values={{0: 0, 255: 1}}'."
        ) from error
    if not set(classes.values()) <= set(range(number)):
        raise ValueError(
            f"data.values={values} names the classes {sorted(set(classes.values()))}, beyond 0 to {number - 1}. Use "
            "'data.values={0: 0, 255: 1}', or task=multiclass with data.out_channels and data.classes for more."
        )
    return classes


def _target(mask: np.ndarray, classes: Mapping[int, int] | None, number: int, path: Path) -> np.ndarray:
    """Return [H, W] uint8 of classes, of which there are so many."""
    counted = np.bincount(mask.ravel(), minlength=256) if mask.dtype == np.uint8 else None
    found = (np.unique(mask) if counted is None else np.flatnonzero(counted)).tolist()
    if classes is None and set(found) <= set(range(number)):
        return mask.astype(np.uint8)
    if classes is None and number == 2 and set(found) <= {0, 255}:
        return (mask > 0).astype(np.uint8)
    if classes is None or not classes.keys() >= set(found):
        raise ValueError(_unknown_values(found, classes, number, path))
    target = np.zeros(mask.shape, np.uint8)
    for label in set(classes.values()) - {0}:
        target[np.isin(mask, [value for value, its in classes.items() if its == label])] = label
    return target


def _unknown_values(found: Sequence[int], classes: Mapping[int, int] | None, number: int, path: Path) -> str:
    shown = ", ".join(map(str, found[:10])) + (", ..." if len(found) > 10 else "")
    own = "{0, 1} or {0, 255}" if number == 2 else f"0 to {number - 1}, data.out_channels={number}"
    expected = own if classes is None else f"those of data.values={dict(classes)}"
    if len(found) > 10:
        fix = "So many are greys, as JPEG or smooth resizing makes them: save the masks as PNG of "
        fix += "0 and 255." if number == 2 else f"0 to {number - 1}."
    else:
        ranks = {value: min(rank, number - 1) for rank, value in enumerate(sorted({0, *found}))}
        every = {**ranks, **(classes or {0: 0})}
        fix = f"Give each value its class: 'data.values={dict(sorted(every.items()))}'."
        if len(every) > number == 2:
            fix += f" Were they {len(every)} classes: task=multiclass data.out_channels={len(every)}."
    return f"{path} holds the values {shown}; expected {expected}. {fix}"
