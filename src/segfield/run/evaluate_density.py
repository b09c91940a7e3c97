"""The evaluation of a run that predicts densities: one map ahead, and rolled out from the release.

The trainer's own validation does the work, as evaluate.py's; here is what is done with each batch, and what is written:
per_group.csv a row an ensemble, rollout.csv a row a lead time, summary.json, and figures of the roll-out.
"""

import json
from typing import Any, final

import numpy as np
import pytorch_lightning as pl
from PIL import Image
from torch import Tensor

from segfield.callbacks.rolled_out import RolledOut
from segfield.callbacks.rollout import NoRolloutError, rolled_out
from segfield.files import whole, write_text
from segfield.metrics.density import SOURCES
from segfield.metrics.samples import SCORES, score_samples
from segfield.metrics.tally import INTERVAL, interval, shortest
from segfield.run.evaluation import GROUPS, SUMMARY, csv_file, earlier, rows_of, training_scores
from segfield.run.extremes import FOLDER
from segfield.run.trained import Trained

ROLLOUT = FOLDER / "rollout.csv"
NAMES = [name if source == "prediction" else f"{name}_{source}" for name in SCORES for source in SOURCES]
RULES = {
    "windows": "those with a cell of the sea where every variable has a value",
    "rmse": "mean over windows of the root of the mean squared error of the sea's cells, probability per cell",
    "kl": "mean over windows of sum t log(t / p), truth t and density p both of mass 1, in nat",
    "mass_error": "mean over windows of the difference of the masses in the region",
    "iou_50": "mean over windows of the IoU of the smallest regions that hold half of the mass",
    "iou_90": "the same of 90 % of the mass",
    "distance_km": "mean over windows of the distance between the centres of mass, in km",
    "persistence": "the density at a window's start; in the roll-out that at the release, held",
    "mean": "the mean density of the training part",
    "rollout": "the network is given the truth at the release, then its own density, map after map",
}


@final
class DensityEvaluation:
    """Scores every batch of a validation by ensemble, rolls out at its end, and writes evaluation/.

    Args:
        run: whose folder is the current one.
        part: of its split.
    """

    def __init__(self, run: Trained, part: str) -> None:
        self._run, self._part = run, part
        self._skipped: dict[str, str] = {}
        self._sums: dict[str, np.ndarray] = {}  # [2, 18] of each ensemble: sums of scores, and how many of them count
        self._numbers: dict[str, int] = {}
        self._rolled: RolledOut | None = None
        self._no_rollout = ""

    def add(self, task: Any, logits: Tensor, batch: dict[str, Any]) -> None:
        """Add the scores of each window of a batch to its ensemble's."""
        densities, cropped = task.finish(logits, batch)
        floor = next(iter(task.metrics["val/"].values())).floor
        scored = score_samples(densities, cropped["target"], cropped.get("valid"), floor)
        values, counts = (one.flatten(0, 1).double().cpu().numpy() for one in scored)
        skipped = batch.get("skipped", {})
        self._skipped |= skipped
        for place, (name, group) in enumerate(zip(batch["id"], batch["group"], strict=True)):
            if name not in skipped and counts[0, place]:  # of no score where no cell is valid
                sums = self._sums.setdefault(group, np.zeros((2, len(NAMES))))
                sums += np.stack([np.where(counts[:, place] > 0, values[:, place], 0), counts[:, place]])
                self._numbers[group] = self._numbers.get(group, 0) + 1

    def end(self, trainer: pl.Trainer, task: Any) -> None:
        """Roll all ensembles of the part out."""
        data = self._run.data
        try:
            self._rolled = rolled_out(trainer, task, data, data.sequences(self._part))
        except NoRolloutError as error:
            self._no_rollout = str(error)

    def conclude(self, logged: dict[str, float]) -> dict[str, Any]:
        """Write all files and return what summary.json says of the part.

        Args:
            logged: what the trainer logged of the part, by name.

        Raises:
            ValueError: if no window has a cell that counts.
        """
        if not self._sums:
            raise ValueError(f"No window of {self._part} has a valid cell: there is nothing to score.")
        before = earlier(self._run.checkpoint["sha256"])
        kept = {name: summary for name, summary in before.items() if name != self._part}
        self._write_groups(list(kept))
        self._write_rollout(list(kept))
        summary = self._summary(logged)
        rules = {**RULES, "intervals": INTERVAL}
        content = {"checkpoint": self._run.checkpoint, "rules": rules, "parts": {**kept, self._part: summary}}
        write_text(SUMMARY, json.dumps(content, indent=2, allow_nan=False) + "\n")
        return {**content, **summary, "part": self._part}

    def _summary(self, logged: dict[str, float]) -> dict[str, Any]:
        shown = {name: shortest(value) for name, value in logged.items()}
        low, high = _intervals(np.stack([self._sums[name] for name in sorted(self._sums)]))
        scores = {
            name: {"value": shown[f"{self._part}/{name}"], "low": low[place], "high": high[place]}
            for place, name in enumerate(NAMES)
        }
        rolled = self._rolled
        by_lead = None if rolled is None else {name: [*map(shortest, of)] for name, of in rolled.scores.items()}
        return {
            "windows": sum(self._numbers.values()),
            "ensembles": len(self._numbers),
            "skipped": self._skipped,
            "one_map_ahead": scores,
            "rollout": {"lead_hours": None if rolled is None else rolled.hours, "scores": by_lead},
            "no_rollout": self._no_rollout,
            "logged": shown,
            "training": training_scores(self._run, self._part, shown),
        }

    def _write_groups(self, kept: list[str]) -> None:
        header = ["group", "part", "windows", *NAMES]
        with csv_file(GROUPS) as rows:
            rows.writerow(header)
            for name in sorted(self._sums):
                total, number = self._sums[name]
                means = [f"{one / n:.6g}" if n else "" for one, n in zip(total, number, strict=True)]
                rows.writerow([name, self._part, self._numbers[name], *means])
            rows.writerows(rows_of(GROUPS, kept, header))

    def _write_rollout(self, kept: list[str]) -> None:
        for path in FOLDER.glob("*_rollout_*.png"):
            if path.name.split("_")[0] not in kept:
                path.unlink()
        rolled = self._rolled
        header = ["part", "lead_hours", *(rolled.scores if rolled else NAMES)]
        with csv_file(ROLLOUT) as rows:
            rows.writerow(header)
            rows.writerows([self._part, *row] for row in (rolled.rows() if rolled else ()))
            rows.writerows(rows_of(ROLLOUT, kept, header))
        if rolled is None:
            return
        title = f"{self._part}, best.ckpt of epoch {self._run.checkpoint['epoch'] + 1}"
        for name, picture in (("curves", rolled.curves(title)), ("maps", rolled.strip(title))):
            with whole(FOLDER / f"{self._part}_rollout_{name}.png") as file:
                Image.fromarray(picture).save(file, format="png")


def _intervals(sums: np.ndarray) -> tuple[list[float | None], list[float | None]]:
    """Return the ends of the interval of every score.

    Args:
        sums: [G, 2, 18] of the ensembles, sums of scores and how many of them count.
    """
    ensembles, _, names = sums.shape
    if ensembles < 2:
        return [None] * names, [None] * names

    def statistic(*columns: np.ndarray, axis: int) -> np.ndarray:
        """Give the scores [S, ...] of resamples, whose ensembles lie along the axis."""
        added = np.stack([one.sum(axis) for one in columns])
        scores: np.ndarray = added[:names] / np.maximum(added[names:], 1)
        return scores

    low, high = interval(tuple(sums.transpose(1, 2, 0).reshape(2 * names, ensembles)), statistic)
    return _rounded(low), _rounded(high)


def _rounded(ends: np.ndarray) -> list[float | None]:
    return [float(f"{one:.6g}") if np.isfinite(one) else None for one in ends]
