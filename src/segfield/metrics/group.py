"""Dice per group: of a patient's volume, of a car seen from all sides. A group may be spread over batches and ranks."""

import hashlib
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor
from torchmetrics import Metric

from segfield.metrics import DICE_UNIT, BinaryMetric, ratio
from segfield.metrics.multiclass import MulticlassMetric

_MOST = 256  # batches whose rows wait to be added up


class _Groups(Metric):
    """Sums of whole numbers per group. Not to be used by itself."""

    rows: list[Tensor]  # [n, 1 + columns] int64: a number for the group's name, sums over its images
    columns: int

    def _add_rows(self, group: list[str], counts: Tensor) -> None:
        """Add counts [N, columns] of the images of these groups."""
        # Not made on the device: that would wait for it.
        names = torch.tensor([_number(name) for name in group]).to(counts.device, non_blocking=True)
        self.rows.append(torch.cat((names[:, None], counts), 1))
        if len(self.rows) > _MOST:
            self.rows = [self._sums()]

    def sync(self, *arguments: Any, **options: Any) -> None:
        """Add up before the ranks exchange their rows: one without a batch then has rows too, none of them."""
        if isinstance(self.rows, list):
            self.rows = [self._sums()]
        super().sync(*arguments, **options)

    def _sums(self) -> Tensor:
        """Return one row per group."""
        rows: Any = self.rows  # of all ranks: one tensor
        if isinstance(rows, list):
            rows = torch.cat([torch.zeros(0, 1 + self.columns, dtype=torch.int64, device=self.device), *rows])
        names, places = torch.unique(rows[:, 0], return_inverse=True)
        sums = rows.new_zeros(len(names), self.columns).index_add_(0, places, rows[:, 1:])
        return torch.cat((names[:, None], sums), 1)


@final
class DiceGroup(_Groups, BinaryMetric):
    """Mean over groups of 2 |P and T| / (|P| + |T|), sums over a group's images: in [0, 1], higher is better.

    A group where prediction and truth are both empty counts 1, where one of them is empty 0. A group without a valid
    pixel is not counted; with no group counted the score is 1. Each group's value is rounded to float32.
    Reference: Buda et al. 2019, arXiv 1906.03720, who report the Dice of each patient's volume.
    """

    columns = 4  # hits, predicted, true [pixels], images that count

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__(threshold)
        self.add_state("rows", [], dist_reduce_fx="cat")

    def _add(self, hits: Tensor, predicted: Tensor, true: Tensor, pixels: Tensor, group: list[str]) -> None:
        self._add_rows(group, torch.stack((hits, predicted, true, (pixels > 0).long()), 1))

    def compute(self) -> Tensor:
        """Give the mean over the groups, a float32 scalar."""
        _, hits, predicted, true, images = self._sums().unbind(1)
        # In whole numbers again: no order of the groups changes the sum.
        dice = (ratio(2 * hits, predicted + true) * DICE_UNIT).long() * (images > 0)
        return ratio(dice.sum(), (images > 0).sum() * DICE_UNIT)


@final
class MulticlassDiceGroup(_Groups, MulticlassMetric):
    """Mean over groups of the mean Dice of the foreground classes that the group's truth or prediction has.

    From sums over a group's images; in [0, 1], higher is better. A class that only one of the two has counts 0; a group
    without foreground in either counts 1. A group without a valid pixel is not counted; with no group counted the score
    is 1. With two classes it is DiceGroup.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.columns = 3 * len(classes)  # hits, predicted, true [pixels] of each class
        self.add_state("rows", [], dist_reduce_fx="cat")

    def _add(self, hits: Tensor, predicted: Tensor, true: Tensor, group: list[str]) -> None:
        self._add_rows(group, torch.cat((hits, predicted, true), 1))

    def compute(self) -> Tensor:
        """Give the mean over the groups, a float32 scalar."""
        hits, predicted, true = self._sums()[:, 1:].reshape(-1, 3, len(self.classes)).unbind(1)
        total = predicted + true
        has, counted = total[:, 1:] > 0, true.sum(1) > 0
        dice = ((ratio(2 * hits, total) * DICE_UNIT).long()[:, 1:] * has).sum(1)
        number = has.sum(1)
        mean = torch.where(number == 0, DICE_UNIT, torch.div(dice, number.clamp(min=1), rounding_mode="floor"))
        return ratio((mean * counted).sum(), counted.sum() * DICE_UNIT)


def _number(name: str) -> int:
    """Return 63 bits that stand for a name: two of a million groups share theirs with probability 5e-8."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
