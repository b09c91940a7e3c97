"""The scores of an evaluation at one resolution: per image, per group, of the set, with bootstrap intervals.

Only sums of whole numbers are kept, a row per group, so that any number of images fits; with one class the values have
the bits of those that training logs. Intervals: groups are drawn with replacement, since images of one car or one
patient resemble one another.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from segfield.metrics import DICE_UNIT, ratio
from segfield.metrics.counts import class_dice, group_dice, image_dice, mean_of_classes, mean_of_units, set_scores

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
    "dice_set": "mean over the classes of their Dice with sums over all images; absent from the whole set: left out",
    "iou_set": "the same of iou_<class>",
    "dice_<class>": "mean over the images whose truth or prediction has the class; one of the two lacks it: 0",
    "iou_<class>": "|P and T| / |P or T| of one class, with sums over all images",
}
INTERVAL = (
    f"{LEVEL:.0%} interval: percentiles of {RESAMPLES:,} bootstrap resamples of the groups, seed {SEED}; "
    "null where there are fewer than 2 groups"
)
_AT_ONCE = 4_000_000  # numbers of a resample that are held at the same time


class _Group:
    """Sums over the images of a group, [F] each but for `units` and `images`: `has` counts images that have a class."""

    def __init__(self, classes: int) -> None:
        self.counts = torch.zeros(3, classes, dtype=torch.int64)  # pixels: hits, predicted, true
        self.of_class, self.has = torch.zeros(2, classes, dtype=torch.int64)
        self.units, self.images = 0, 0

    def add(self, counts: Tensor) -> None:
        """Add the counts [3, F] of an image."""
        dice, has = class_dice(counts[:, None])
        self.counts += counts
        self.of_class += dice[0]
        self.has += has[0]
        self.units += int(image_dice(counts[:, None])[0])
        self.images += 1


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
        if group not in self._groups:
            self._groups[group] = _Group(len(self.classes))
        self._groups[group].add(counts)

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
        of_class, has = (torch.stack([getattr(group, name) for group in found]) for name in ("of_class", "has"))
        units, images = (torch.tensor([getattr(group, name) for group in found]) for name in ("units", "images"))
        each = group_dice(counts)
        dice, iou = set_scores(counts.sum(1))
        values = {
            "dice": ratio(units.sum(), images.sum() * DICE_UNIT),
            "dice_group": mean_of_units(each),
            "dice_set": mean_of_classes(dice, counts.sum(1)),
            "iou_set": mean_of_classes(iou, counts.sum(1)),
        }
        if len(self.classes) > 1:
            means = ratio(of_class.sum(0), has.sum(0) * DICE_UNIT)
            values |= {f"dice_{name}": means[place] for place, name in enumerate(self.classes)}
            values |= {f"iou_{name}": iou[place] for place, name in enumerate(self.classes)}
        low, high = _intervals(counts.numpy(), units.numpy(), images.numpy(), each.numpy(), of_class, has)
        return {
            name: {"value": shortest(float(value)), "low": low[place], "high": high[place]}
            for place, (name, value) in enumerate(values.items())
        }


def shortest(value: float) -> float | None:
    """Return a float32 as the number that metrics.csv shows; None where it is none that JSON knows."""
    return float(str(np.float32(value))) if np.isfinite(value) else None


def _intervals(
    counts: np.ndarray, units: np.ndarray, images: np.ndarray, each: np.ndarray, of_class: Tensor, has: Tensor
) -> tuple[list[float | None], list[float | None]]:
    """Return the ends of the interval of every score, in the order of Tally.scores()."""
    groups, classes = counts.shape[1:]
    if groups < 2:
        names = 4 if classes == 1 else 4 + 2 * classes
        return [None] * names, [None] * names

    def statistic(units: np.ndarray, images: np.ndarray, each: np.ndarray, *sums: np.ndarray, axis: int) -> np.ndarray:
        """Give the scores [S, ...] of resamples, whose groups lie along the axis."""
        hits, predicted, true, of_class, has = np.stack([one.sum(axis) for one in sums]).reshape(
            5, classes, *units.shape[:-1]
        )
        total = predicted + true
        dice, iou, number = _ratio(2 * hits, total), _ratio(hits, total - hits), (total > 0).sum(0)
        of_set = [np.where(number == 0, 1.0, (of * (total > 0)).sum(0) / np.maximum(number, 1)) for of in (dice, iou)]
        means = [units.sum(axis) / images.sum(axis), each.mean(axis)]
        return np.stack([*means, *of_set, *((*_ratio(of_class, has), *iou) if classes > 1 else ())])

    by_class = np.stack([*counts, of_class.numpy() / DICE_UNIT, has.numpy()])  # [5, G, F]
    columns = by_class.transpose(0, 2, 1).reshape(5 * classes, groups)
    data = (units / DICE_UNIT, images.astype(float), each / DICE_UNIT, *columns.astype(float))
    low, high = interval(data, statistic)
    return [round(float(one), 6) for one in low], [round(float(one), 6) for one in high]


def interval(data: Sequence[np.ndarray], statistic: Callable[..., np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of INTERVAL of some scores, [S] each.

    Args:
        data: numbers of the groups, [G] each; 2 groups or more.
        statistic: called as statistic(*resamples, axis=of the groups); gives the scores [S, ...].
    """
    from scipy.stats import bootstrap

    found = bootstrap(
        data,
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _AT_ONCE // (len(data[0]) * len(data))),
        confidence_level=LEVEL,
        method="percentile",
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    return found.low, found.high


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole == 0, 1.0, part / np.maximum(whole, 1))
