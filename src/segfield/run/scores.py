"""The scores of an evaluation at one resolution: per image, per group, of the set, with bootstrap intervals.

Only sums of whole numbers are kept, a row per group, so that any number of images fits; with one class the values have
the bits of those that training logs. Intervals: groups are drawn with replacement, since images of one car or one
patient resemble one another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from segfield.metrics import DICE_UNIT, ratio
from segfield.metrics.counts import group_dice, image_dice, mean_of_units, set_scores

RESAMPLES, LEVEL, SEED = 10_000, 0.95, 0
RULES = {
    "dice": "mean over images of 2 |P and T| / (|P| + |T|); both empty 1, one empty 0",
    "dice_group": "mean over groups of the same, with sums over the images of a group; both empty 1, one empty 0",
    "dice_set": "the same with sums over all images; large objects weigh more, empty images only by false positives",
    "iou_set": "|P and T| / |P or T| with sums over all images",
}
SEVERAL = {
    "dice": "mean over images of the mean over the classes that truth or prediction has there; neither has any: 1",
    "dice_group": "the same for the sums over the images of a group",
    "dice_set": "mean over the classes of dice_<class>, classes absent from the whole set left out",
    "iou_set": "the same of iou_<class>",
    "dice_<class>": "2 |P and T| / (|P| + |T|) of one class, with sums over all images",
    "iou_<class>": "|P and T| / |P or T| of one class, with sums over all images",
}
INTERVAL = (
    f"{LEVEL:.0%} interval: percentiles of {RESAMPLES:,} bootstrap resamples of the groups, seed {SEED}; "
    "null where there are fewer than 2 groups"
)
_AT_ONCE = 4_000_000  # numbers of a resample that are held at the same time


@dataclass
class _Group:
    counts: Tensor  # [3, F]: hits, predicted, true
    units: int  # sum over images of their Dice
    images: int


@final
class Tally:
    """Sums of counted pixels by group.

    Args:
        classes: names of the foreground classes, F of them.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        self._groups: dict[str, _Group] = {}

    def add(self, group: str, counts: Tensor) -> None:
        """Add an image.

        Args:
            group: that it is of.
            counts: [3, F] int64: pixels predicted and true, predicted, true, by class.
        """
        found = self._groups.setdefault(group, _Group(torch.zeros_like(counts), 0, 0))
        found.counts += counts
        found.units += int(image_dice(counts[:, None])[0])
        found.images += 1

    def groups(self) -> Iterator[tuple[str, int, Tensor, float]]:
        """Yield name, number of images, [3, F] counts, and the mean Dice of the images of each group, by name."""
        for name, found in sorted(self._groups.items()):
            yield name, found.images, found.counts, found.units / DICE_UNIT / found.images

    @property
    def images(self) -> int:
        """Number of images added."""
        return sum(found.images for found in self._groups.values())

    def scores(self) -> dict[str, dict[str, float | None]]:
        """Return {name: {value, low, high}}: low and high are the ends of INTERVAL."""
        found = list(self._groups.values())
        counts = torch.stack([group.counts for group in found], dim=1)  # [3, G, F]
        units, images = (torch.tensor([getattr(group, name) for group in found]) for name in ("units", "images"))
        each = group_dice(counts)
        dice, iou = set_scores(counts.sum(1))
        present = (counts[1:].sum((0, 1)) > 0).numpy()
        values = {
            "dice": ratio(units.sum(), images.sum() * DICE_UNIT),
            "dice_group": mean_of_units(each),
            "dice_set": dice[0] if len(dice) == 1 else _over_classes(dice.numpy(), present),
            "iou_set": iou[0] if len(iou) == 1 else _over_classes(iou.numpy(), present),
        }
        if len(self.classes) > 1:
            values |= {f"dice_{name}": dice[place] for place, name in enumerate(self.classes)}
            values |= {f"iou_{name}": iou[place] for place, name in enumerate(self.classes)}
        low, high = _intervals(counts.numpy(), units.numpy(), images.numpy(), each.numpy())
        return {
            name: {"value": shortest(float(value)), "low": low[place], "high": high[place]}
            for place, (name, value) in enumerate(values.items())
        }


def shortest(value: float) -> float | None:
    """Return a float32 as the number that metrics.csv shows; None where it is none that JSON knows."""
    return float(str(np.float32(value))) if np.isfinite(value) else None


def _over_classes(values: np.ndarray, present: np.ndarray) -> float:
    return float(values[present].mean()) if present.any() else 1.0


def _intervals(
    counts: np.ndarray, units: np.ndarray, images: np.ndarray, each: np.ndarray
) -> tuple[list[float | None], list[float | None]]:
    """Return the ends of the interval of every score, in the order of Tally.scores()."""
    groups, classes = counts.shape[1:]
    if groups < 2:
        names = 4 if classes == 1 else 4 + 2 * classes
        return [None] * names, [None] * names
    from scipy.stats import bootstrap

    def statistic(units: np.ndarray, images: np.ndarray, each: np.ndarray, *sums: np.ndarray, axis: int) -> np.ndarray:
        hits, predicted, true = np.stack([one.sum(axis) for one in sums]).reshape(3, classes, *units.shape[:-1])
        total = predicted + true
        dice, iou = _ratio(2 * hits, total), _ratio(hits, total - hits)
        number = (total > 0).sum(0)
        of_set = [np.where(number == 0, 1.0, (of * (total > 0)).sum(0) / np.maximum(number, 1)) for of in (dice, iou)]
        means = [units.sum(axis) / images.sum(axis), each.mean(axis)]
        return np.stack([*means, *of_set, *((*dice, *iou) if classes > 1 else ())])

    columns = counts.transpose(0, 2, 1).reshape(3 * classes, groups)
    data = (units / DICE_UNIT, images.astype(float), each / DICE_UNIT, *columns.astype(float))
    interval = bootstrap(
        data,
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _AT_ONCE // (groups * len(data))),
        confidence_level=LEVEL,
        method="percentile",
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    return [round(float(one), 6) for one in interval.low], [round(float(one), 6) for one in interval.high]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole == 0, 1.0, part / np.maximum(whole, 1))
