"""Dice per group: of a patient's volume, of a car seen from all sides. A group may be spread over batches and ranks."""

import hashlib
from typing import Any, final

import torch
from torch import Tensor

from segfield.metrics import DICE_UNIT, BinaryMetric, ratio

_MOST = 256  # batches whose rows wait to be added up


@final
class DiceGroup(BinaryMetric):
    """Mean over groups of 2 |P and T| / (|P| + |T|), sums over a group's images: in [0, 1], higher is better.

    A group where prediction and truth are both empty counts 1, where one of them is empty 0. A group without a valid
    pixel is not counted; with no group counted the score is 1. Each group's value is rounded to float32.
    Reference: Buda et al. 2019, arXiv 1906.03720, who report the Dice of each patient's volume.
    """

    # [n, 5] int64: a number for the group's name; sums over images: hits, predicted, true [pixels], images that count.
    rows: list[Tensor]

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__(threshold)
        self.add_state("rows", [], dist_reduce_fx="cat")

    def _add(self, hits: Tensor, predicted: Tensor, true: Tensor, pixels: Tensor, group: list[str]) -> None:
        # Not made on the device: that would wait for it.
        names = torch.tensor([_number(name) for name in group]).to(hits.device, non_blocking=True)
        self.rows.append(torch.stack((names, hits, predicted, true, (pixels > 0).long()), 1))
        if len(self.rows) > _MOST:
            self.rows = [self._sums()]

    def sync(self, *arguments: Any, **options: Any) -> None:
        """Add up before the ranks exchange their rows: one without a batch then has rows too, none of them."""
        if isinstance(self.rows, list):
            self.rows = [self._sums()]
        super().sync(*arguments, **options)

    def compute(self) -> Tensor:
        """Give the mean over the groups, a float32 scalar."""
        _, hits, predicted, true, images = self._sums().unbind(1)
        # In whole numbers again: no order of the groups changes the sum.
        dice = (ratio(2 * hits, predicted + true) * DICE_UNIT).long() * (images > 0)
        return ratio(dice.sum(), (images > 0).sum() * DICE_UNIT)

    def _sums(self) -> Tensor:
        """Return one row per group."""
        rows: Any = self.rows  # of all ranks: one tensor
        if isinstance(rows, list):
            rows = torch.cat([torch.zeros(0, 5, dtype=torch.int64, device=self.device), *rows])
        names, places = torch.unique(rows[:, 0], return_inverse=True)
        return torch.cat((names[:, None], rows.new_zeros(len(names), 4).index_add_(0, places, rows[:, 1:])), 1)


def _number(name: str) -> int:
    """Return 63 bits that stand for a name: two of a million groups share theirs with probability 5e-8."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
