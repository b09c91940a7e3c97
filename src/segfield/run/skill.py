"""How good a run's roll-out was, for whoever goes by its forecast: as evaluate, or its own validation, found it."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from segfield.run.evaluation import earlier
from segfield.run.trained import Trained

ROLLOUT = Path("rollout.csv")
_PARTS = ("test", "val")


def skill(run: Trained, folder: Path, hours: float) -> str:
    """Say how far off the centres were in the last roll-out of best.ckpt, beside persistence, and the IoU of halves.

    Args:
        run: whose folder is the current one.
        folder: of the run, for a command to type.
        hours: of the forecast; the longest lead time that is not beyond them counts.
    """
    parts = earlier(run.checkpoint["sha256"])
    for part in _PARTS:
        rolled = parts.get(part, {}).get("rollout") or {}
        if rolled.get("lead_hours"):
            return _told(part, hours, rolled["lead_hours"], rolled["scores"])
    rows = _rows(run.checkpoint["epoch"])
    if not rows:
        return f"How good its roll-out is nobody knows yet: python -m segfield evaluate {folder}"
    names = [name for name in rows[0] if name not in ("epoch", "step", "lead_hours")]
    scores = {name: [float(row[name]) for row in rows] for name in names}
    return _told("val", hours, [float(row["lead_hours"]) for row in rows], scores)


def _rows(epoch: int) -> list[dict[str, str]]:
    """Return the rows of the roll-out after an epoch, counted from 0."""
    if not ROLLOUT.exists():
        return []
    with ROLLOUT.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("epoch") == str(epoch)]


def _told(part: str, hours: float, leads: Sequence[float], scores: Mapping[str, Sequence[float | None]]) -> str:
    place = max((place for place, lead in enumerate(leads) if lead <= hours), default=0)
    found = [_shown(scores, name, place) for name in ("distance_km", "distance_km_persistence")]
    iou = [_shown(scores, name, place) for name in ("iou_50", "iou_50_persistence")]
    return (
        f"of the run's {part}, rolled out for {leads[place]:g} hours: centres {found[0]} km off, iou_50 {iou[0]} "
        f"(persistence: {found[1]} km, {iou[1]})"
    )


def _shown(scores: Mapping[str, Sequence[float | None]], name: str, place: int) -> str:
    value = scores.get(name, [None] * (place + 1))[place]
    return "-" if value is None or not math.isfinite(value) else f"{value:.3g}"
