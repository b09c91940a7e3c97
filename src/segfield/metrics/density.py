"""Scores of predicted densities, and of two baselines that any prediction has to beat.

update is called (logits, target, valid, group) with a head's densities in the place of logits, [N, 1, H, W], and a
target [N, 5, H, W] whose channels densities.py names. The baselines are persistence, the current density as it is, and
the mean density of the training part as it is, not brought to the sample's mass.

Cells outside `valid` do not count, nor does a sample without a valid cell. A score is NaN where no sample counts, and
where the density of one that counts is not finite. States are sums of whole numbers, and each sample's own values are
added up in an order that depends on its size alone: a score is bitwise the same however the set is cut into batches,
ranks or resumed halves. How one sample is scored is in samples.py.
"""

from typing import ClassVar, Literal, final

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from segfield.metrics.samples import FLOOR, SCORES, check_shapes, score_samples

Source = Literal["prediction", "persistence", "mean"]
SOURCES: tuple[Source, ...] = ("prediction", "persistence", "mean")
# A sample's score is held in this many parts of its limit, at which it ends: room for a million samples.
PARTS = 2**42
# The greatest value of each of SCORES, a power of two in its unit; only densities that are none come near.
LIMITS = (4, 2**10, 2**10, 1, 1, 2**18)


class DensityMetric(Metric):
    """Score each sample of a batch; which score of which density it is, a subclass says. Not to be used by itself.

    All scores have the same sums, so that DensityScores looks at a batch once.

    Args:
        source: which density is scored: what is predicted, or a baseline.
        floor: of KL, probability per cell, above 0.

    Raises:
        ValueError: if the floor is outside its range.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0
    name: ClassVar[str]
    sums: Tensor  # [6, 3, 3] over samples: by score and source; parts, samples that count, samples that are not finite

    def __init__(self, source: Source = "prediction", floor: float = FLOOR) -> None:
        super().__init__()
        if not 0 < floor < 1:
            raise ValueError(f"metrics.floor is above 0 and below 1, per cell; got {floor}. Use metrics.floor={FLOOR}.")
        self.source, self.floor = source, floor
        self.add_state("sums", torch.zeros(len(SCORES), len(SOURCES), 3, dtype=torch.int64), dist_reduce_fx="sum")

    @final
    def update(self, logits: Tensor, target: Tensor, valid: Tensor | None, group: list[str]) -> None:
        """Add a batch.

        Args:
            logits: [N, 1, H, W], densities in probability per cell.
            target: [N, 5, H, W].
            valid: [N, 1, H, W] bool; None: all.
            group: N names.

        Raises:
            ValueError: if the shapes do not fit one another.
        """
        check_shapes(type(self).__name__, logits, target, valid)
        values, counts = score_samples(logits, target, valid, self.floor)
        limits = torch.tensor(LIMITS, dtype=torch.float32).to(values.device, non_blocking=True).view(-1, 1, 1)
        broken = counts & ~values.isfinite()
        parts = (values.masked_fill(broken | ~counts, 0).minimum(limits) * (PARTS / limits)).round().long()
        self.sums += torch.stack((parts, counts.long(), broken.long()), -1).sum(2)

    @final
    def compute(self) -> Tensor:
        """Give the mean over the samples, a float32 scalar."""
        score = SCORES.index(self.name)
        parts, counted, broken = self.sums[score, SOURCES.index(self.source)]
        mean = parts / (counted * (PARTS // LIMITS[score]))  # 0 / 0 is NaN
        return torch.where(broken > 0, torch.nan, mean)


@final
class DensityRMSE(DensityMetric):
    """Mean over samples of the root of the mean squared error of the valid cells [probability per cell].

    In [0, 4], lower is better. That of the ML-Drop notes is of densities times a scale of theirs.
    """

    name = "rmse"


@final
class DensityKL(DensityMetric):
    """Mean over samples of the Kullback-Leibler divergence of the density from the truth [nat], as losses.density.KL.

    In [0, 1024], lower is better: sum of t log(t / p), both divided by their mass over the valid cells, p at least the
    floor before that. A sample whose truth has no mass is not counted.
    """

    name = "kl"


@final
class MassError(DensityMetric):
    """Mean over samples of |mass of the density - mass of the truth| over the valid cells [probability].

    In [0, 1024], lower is better. Reference: Jenkins et al. 2022 (UncertainDrift), who ask for mass conservation.
    """

    name = "mass_error"


@final
class RegionIoU50(DensityMetric):
    """Mean over samples of the IoU of the smallest regions that hold 50 % of the mass, of the density and of the truth.

    In [0, 1], higher is better: what a search of the likelier half would cover. A region is made of the valid cells at
    or above a threshold, the largest above which that share lies; cells of equal density belong to it together. A
    negative density counts as 0. Where neither has mass the sample counts 1, where one has none 0.
    Reference: Jenkins et al. 2022 (UncertainDrift), IOU_50.
    """

    name = "iou_50"
    higher_is_better = True
    plot_upper_bound = 1.0


@final
class RegionIoU90(DensityMetric):
    """The same of 90 % of the mass."""

    name = "iou_90"
    higher_is_better = True
    plot_upper_bound = 1.0


@final
class CentreDistance(DensityMetric):
    """Mean over samples of the distance between the centres of mass of the density and of the truth [km].

    In [0, 262144], lower is better. On the plane of the region's kilometres to the east and to the north; a negative
    density counts as 0. A sample where one of the two has no mass is not counted.
    """

    name = "distance_km"


KINDS = (DensityRMSE, DensityKL, MassError, RegionIoU50, RegionIoU90, CentreDistance)


@final
class DensityScores(MetricCollection):
    """The scores above by name, and those of the baselines: rmse, rmse_persistence, rmse_mean and so on.

    A batch is looked at once for all of them.

    Args:
        floor: of KL, probability per cell, above 0.
    """

    def __init__(self, floor: float = FLOOR) -> None:
        scores: dict[str, Metric | MetricCollection] = {}
        for kind in KINDS:
            for source in SOURCES:
                end = "" if source == "prediction" else f"_{source}"
                scores[f"{kind.name}{end}"] = kind(source, floor)
        super().__init__(scores, compute_groups=[list(scores)])
