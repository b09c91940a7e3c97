"""What a roll-out has found: scores by lead time, and the maps of one ensemble; as rows, curves and a strip."""

from typing import NamedTuple

import numpy as np

from segfield.figures.rollout import curves, strip

BASELINES = ("persistence", "mean")


class Story(NamedTuple):
    """One ensemble rolled out: [T, H, W] densities, [H, W] which cells count and where they lie [km]."""

    group: str
    truths: np.ndarray
    predictions: np.ndarray
    valid: np.ndarray
    east: np.ndarray
    north: np.ndarray


class RolledOut(NamedTuple):
    """Scores [T] by name at each of `hours` since the release, of so many ensembles; and one of these."""

    hours: list[float]
    scores: dict[str, list[float]]
    ensembles: int
    story: Story

    def rows(self) -> list[list[str]]:
        """Return lead_hours,<score>,... of each lead time, float32 as the shortest that gives it back."""
        columns = zip(*self.scores.values(), strict=True)
        return [
            [f"{hours:g}", *(str(np.float32(one)) for one in row)]
            for hours, row in zip(self.hours, columns, strict=True)
        ]

    def curves(self, title: str) -> np.ndarray:
        """Draw the scores, each with its baselines."""
        plain = [name for name in self.scores if not name.endswith(BASELINES)]
        lines = {
            name: {"network": self.scores[name]}
            | {one: self.scores[f"{name}_{one}"] for one in BASELINES if f"{name}_{one}" in self.scores}
            for name in plain
        }
        return curves(lines, self.hours, title=f"{title}, {self.ensembles} ensembles rolled out")

    def strip(self, title: str) -> np.ndarray:
        """Draw the ensemble by lead time."""
        one = self.story
        return strip(
            one.truths,
            one.predictions,
            self.hours,
            valid=one.valid,
            east=one.east,
            north=one.north,
            title=f"{title}, ensemble {one.group}",
        )
