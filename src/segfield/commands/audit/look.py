"""What an audit leaves in its folder: audit.json, audit.html with pictures of samples, augmented.png."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from segfield.data.audit import Audit
from segfield.data.loader import collate
from segfield.figures import Pixels
from segfield.figures import sheet as sheets
from segfield.figures.classes import region_colours
from segfield.files import whole, write_text
from segfield.report.page import Shown, page
from segfield.report.pictures import css, mask, overlay, sheet, thumbnail

if TYPE_CHECKING:
    from segfield.data.module import PixelwiseData

_SHOWN = 24  # samples of the gallery
_PAIRS = 12  # suspicious pairs
_AUGMENTED = 16
_PARTS = {"train": 0, "val": 1, "test": 2}


def write(folder: Path, data: "PixelwiseData", found: Audit, augmentation: tuple[Any, int] | None) -> None:
    """Write the audit's files, each whole.

    Args:
        folder: made where it is not there.
        data: that was audited.
        found: of it.
        augmentation: and its seed; None: not asked for.

    Raises:
        OSError: if the folder cannot be written.
    """
    drawn = None
    if augmentation is not None and (pixels := augmented(data, *augmentation)) is not None:
        with whole(folder / "augmented.png") as file:
            Image.fromarray(pixels).save(file, format="PNG")
        drawn = sheet(pixels)
    faults = {
        name: [finding._asdict() for finding in findings]
        for name, findings in (("errors", found.errors), ("warnings", found.warnings))
    }
    write_text(folder / "audit.json", json.dumps({**found.facts, **faults}, indent=1, default=str) + "\n")
    colours = _colours(data)
    shown, alike = list(_gallery(data, found, colours)), list(_alike(data, found, colours))
    text = page(found.facts, found.errors, found.warnings, shown, alike, css(colours), drawn)
    write_text(folder / "audit.html", text)


def _colours(data: "PixelwiseData") -> Pixels:
    """Return the colour of each class, which is the same in every picture of an audit."""
    return region_colours(max(2, data.out_channels), data.colours)


def _gallery(data: "PixelwiseData", found: Audit, colours: Pixels) -> Iterator[Shown]:
    """Show sound samples of every part, of as many groups as possible."""
    places = [place for place, problem in enumerate(found.problems) if problem is None]
    for place in spread(places, found.parts, [sample.group for sample in found.samples], _SHOWN):
        sample = found.samples[place]
        arrays = data.read(sample, data.size)
        image, target = arrays["image"], arrays["target"]
        pictures = thumbnail(image), mask(target, colours), overlay(image, target, colours)
        flat = target.reshape(-1, *target.shape[-2:])[0] if target.dtype.kind == "f" else target
        share = f"{100 * np.count_nonzero(flat) / flat.size:.3g} % foreground"
        words = [f"{key} {value}" for key, value in list(sample.labels.items())[:3] if value]
        yield Shown(pictures, sample.id, (found.parts[place], share, *words))


def spread(places: Sequence[int], parts: Sequence[str], groups: Sequence[str], most: int) -> list[int]:
    """Choose places in turns over the parts, and within a part over the groups; the same ones each time."""
    queues: dict[str, list[tuple[int, bytes, int]]] = {}
    seen: Counter[str] = Counter()
    for place in sorted(places, key=lambda place: _order(f"{groups[place]}:{place}")):
        seen[groups[place]] += 1
        queues.setdefault(parts[place], []).append((seen[groups[place]], _order(groups[place]), place))
    for queue in queues.values():
        queue.sort(reverse=True)
    chosen: list[int] = []
    while len(chosen) < most and any(queues.values()):
        chosen += [queue.pop()[-1] for queue in queues.values() if queue][: most - len(chosen)]
    return sorted(chosen, key=lambda place: (_PARTS.get(parts[place], len(_PARTS)), place))


def _order(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _alike(data: "PixelwiseData", found: Audit, colours: Pixels) -> Iterator[Shown]:
    """Show the same images and nearly the same ones side by side, those of two parts first."""
    by_id = {sample.id: sample for sample in found.samples}
    likeness = found.facts["likeness"]
    exact = sorted(likeness["exact"], key=lambda one: (len(one["parts"]) == 1, one["same_mask"]))
    pairs = [(one["ids"][:2], "pixel by pixel", one["parts"]) for one in exact[: _PAIRS // 2]]
    pairs += [(one["ids"], f"{one['distance']} of 64 bits differ", one["parts"]) for one in likeness["near"]]
    shown: set[str] = set()
    for ids, how, parts in pairs:
        if len(shown) >= 2 * _PAIRS or shown.issuperset(ids):  # of many that are alike a few are enough
            continue
        shown.update(ids)
        read = [data.read(by_id[id_], data.size) for id_ in ids]
        pictures = [overlay(arrays["image"], arrays["target"], colours) for arrays in read]
        yield Shown(pictures, " | ".join(ids), (how, " and ".join(dict.fromkeys(parts))))


def augmented(data: "PixelwiseData", augmentation: Any, seed: int) -> np.ndarray | None:
    """Return a sheet of augmented training samples, as epoch 0 of a run would meet them; None where there is none.

    Args:
        data: that setup() has split.
        augmentation: of the run; None: samples as they are.
        seed: of the run.
    """
    places = data.indices("train")
    groups, parts = zip(*[(group, part) for _, group, part in data.split_table()], strict=True) if places else ((), ())
    images, masks = [], []
    for index in spread(places, parts, groups, 2 * _AUGMENTED):
        try:
            item = data.item(index)
        except (ValueError, OSError):  # listed as unreadable already
            continue
        if "skipped" in item:  # data.on_error=skip
            continue
        batch = collate([item])
        image = batch["image"]
        batch["image"] = image.float() / 255 if image.dtype == torch.uint8 else image.float()  # as task.py does it
        changed = batch if augmentation is None else augmentation(batch, seed, 0)
        images.append((changed["image"][0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
        classes = changed["target"][0]
        masks.append((classes[0] > 0 if classes.is_floating_point() else classes).numpy())
        if len(images) == _AUGMENTED:
            break
    return sheets.sheet(images, masks, colours=css(_colours(data))) if images else None
