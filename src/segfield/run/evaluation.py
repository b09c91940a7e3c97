"""evaluation/: what an evaluation writes, while it goes through the images and at its end.

summary.json holds every part that was evaluated with the same weights, per_image.csv and per_group.csv their rows.
"""

import contextlib
import csv
import io
import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

from torch import Tensor

from segfield.files import whole, write_text
from segfield.metrics import DICE_UNIT
from segfield.metrics.counts import image_dice, image_iou
from segfield.metrics.tally import INTERVAL, RULES, SEVERAL, Tally, shortest
from segfield.run.extremes import FOLDER, Extremes, Scored
from segfield.run.trained import Trained

_log = logging.getLogger(__name__)
SUMMARY, IMAGES, GROUPS = FOLDER / "summary.json", FOLDER / "per_image.csv", FOLDER / "per_group.csv"


@final
class Evaluation:
    """The evaluation of one part; as a context it opens per_image.csv, which takes its place by conclude().

    Args:
        run: whose folder is the current one.
        part: of its split.
    """

    def __init__(self, run: Trained, part: str) -> None:
        self.logged: dict[str, float] = {}  # what the trainer logs of the part
        self._run, self._part = run, part
        self._skipped: dict[str, str] = {}
        self._classes = list(run.data.classes)[1 : max(2, run.data.out_channels)]
        self._working, self._own = Tally(self._classes), Tally(self._classes)
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._resolution: tuple[tuple[int, int], tuple[int, int]] | None = None
        self._extremes = Extremes(run.data)
        self._earlier = earlier(run.checkpoint["sha256"])
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Evaluation":
        file = self._stack.enter_context(whole(IMAGES))
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        self._rows = csv.writer(self._text, lineterminator="\n")
        several = [f"{kind}_{name}" for name in self._classes for kind in ("hits", "predicted", "true")]
        counted = several if len(self._classes) > 1 else ["hits", "predicted", "true"]
        self._header = ["id", "group", "part", "labels", "height", "width", "dice", "iou", *counted, "dice_working"]
        self._rows.writerow(self._header)
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is not None:
            self._text.detach()
        self._stack.__exit__(*error)

    def add(self, scored: Scored, working: Tensor | None, size: tuple[int, int], region: tuple[int, int]) -> None:
        """Add an image.

        Args:
            scored: at its own size.
            working: [3, F] counts at the working size; None: it has no valid pixel there.
            size: the working size [H, W].
            region: of the logits, its centre.
        """
        sample = scored.sample
        self._sizes[scored.truth.shape] += 1
        if self._resolution is None or self._resolution[0] != size:
            self._resolution = (size, region) if self._resolution is None else ((0, 0), (0, 0))
        dice, iou = (int(score(scored.counts[:, None])[0]) for score in (image_dice, image_iou))
        seen = bool(scored.inside.any())
        if seen:
            self._own.add(sample.group, scored.counts)
            self._extremes.add(dice, scored)
        if working is not None:
            self._working.add(sample.group, working)
        labels = ";".join(f"{name}={value}" for name, value in sample.labels.items())
        at_working = "" if working is None else _shown(int(image_dice(working[:, None])[0]))
        shown = [_shown(dice), _shown(iou)] if seen else ["", ""]
        counts = scored.counts.T.flatten().tolist()
        place = [sample.id, sample.group, self._part, labels, *scored.truth.shape]
        self._rows.writerow([*place, *shown, *counts, at_working])

    def skip(self, name: str, reason: str) -> None:
        """Note that an image is left out: it cannot be read, and the run goes on without such (data.on_error=skip)."""
        _log.warning("skipped %s: %s", name, reason)
        self._skipped[name] = reason

    def conclude(self) -> dict[str, Any]:
        """Write all files and return what summary.json says of the part.

        Raises:
            ValueError: if no image has a pixel that counts.
        """
        if not self._own.images or not self._working.images:
            raise ValueError(f"No image of {self._part} has a valid pixel: there is nothing to score.")
        kept = [name for name in self._earlier if name != self._part]
        self._rows.writerows(rows_of(IMAGES, kept, self._header))
        self._text.detach()
        self._stack.close()
        self._write_groups(kept)
        self._extremes.write(self._part, kept, self._own.images)
        summary = self._summary()
        parts = {**{name: self._earlier[name] for name in kept}, self._part: summary}
        several = len(self._classes) > 1
        content = {
            "checkpoint": self._run.checkpoint,
            "classes": list(self._run.data.classes),
            "rules": {**(SEVERAL if several else RULES), "intervals": INTERVAL},
            "parts": parts,
        }
        write_text(SUMMARY, json.dumps(content, indent=2, allow_nan=False) + "\n")
        return {**content, **summary, "part": self._part}

    def _summary(self) -> dict[str, Any]:
        (height, width), region = self._resolution or ((0, 0), (0, 0))
        working: dict[str, Any] = {"size": [height, width] if height else None, "scored": "whole image"}
        own: dict[str, Any] = {"sizes": {f"{h}x{w}": number for (h, w), number in self._sizes.most_common(8)}}
        own["how"] = "probabilities resized bilinearly (antialiased where they shrink), then decided"
        own["scored"] = "whole image"
        if region != (height, width):
            working["scored"] = f"the centre {region[0]}x{region[1]}, for which the network has an output"
            own["scored"] = "the pixels whose centre lies in that region"
        logged = {name: shortest(value) for name, value in self.logged.items()}
        return {
            "images": self._own.images,
            "groups": len(list(self._own.groups())),
            "skipped": self._skipped,
            "working_size": {**working, "scores": self._working.scores()},
            "own_size": {**own, "scores": self._own.scores()},
            "logged": logged,
            "training": training_scores(self._run, self._part, logged),
        }

    def _write_groups(self, kept: list[str]) -> None:
        header = ["group", "part", "images", "dice", "iou", "dice_of_images", *self._header[8:-1], "dice_working"]
        working = {name: _shown(int(image_dice(counts[:, None])[0])) for name, _, counts, _ in self._working.groups()}
        with csv_file(GROUPS) as rows:
            rows.writerow(header)
            for name, images, counts, mean in self._own.groups():
                scores = [_shown(int(score(counts[:, None])[0])) for score in (image_dice, image_iou)]
                numbers = [images, *scores, f"{mean:.6f}", *counts.T.flatten().tolist()]
                rows.writerow([name, self._part, *numbers, working.get(name, "")])
            rows.writerows(rows_of(GROUPS, kept, header))


def _shown(units: int) -> str:
    return f"{units / DICE_UNIT:.6f}"


def earlier(sha256: str) -> dict[str, Any]:
    """Return the parts that were evaluated with these weights before."""
    try:
        content = json.loads(SUMMARY.read_text())
        parts: dict[str, Any] = content["parts"] if content["checkpoint"]["sha256"] == sha256 else {}
        return dict(parts)
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def rows_of(path: Path, parts: list[str], header: list[str]) -> Iterator[list[str]]:
    """Yield the rows of other parts from the file that is replaced."""
    if not parts or not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        if next(rows, None) == header:
            yield from (row for row in rows if len(row) == len(header) and row[header.index("part")] in parts)


@contextlib.contextmanager
def csv_file(path: Path) -> Iterator[Any]:
    """Open the writer of a CSV that takes the place of `path` at the end."""
    with whole(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        yield csv.writer(text, lineterminator="\n")
        text.detach()


def training_scores(run: Trained, part: str, logged: dict[str, float | None]) -> dict[str, Any] | None:
    """Compare what is logged now with what training reported of the epoch; None where it reported nothing of the part.

    Where training validated on some of the batches there is nothing to compare with.
    """
    limit = run.config["trainer"].get("limit_val_batches", 1.0)
    whole_part = part == "val" and isinstance(limit, float) and limit == 1.0
    found = _reported(run.checkpoint["epoch"]) if whole_part else None
    return None if found is None else _compared(found, logged)


def _reported(epoch: int) -> dict[str, float | None] | None:
    """Return the validation scores of an epoch in metrics.csv."""
    path = Path("metrics.csv")
    if not path.exists():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row.get("epoch") == str(epoch):
                return {
                    name: shortest(float(value)) for name, value in row.items() if name.startswith("val/") and value
                }
    return None


def _compared(reported: dict[str, float | None], logged: dict[str, float | None]) -> dict[str, Any]:
    different = sorted(name for name, value in reported.items() if logged.get(name) != value)
    if different:
        _log.warning("not the bits that training reported in metrics.csv: %s", ", ".join(different))
    return {"reported": reported, "bit_equal": not different, "different": different}
