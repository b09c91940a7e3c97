"""forecast(run, asked): where an object may be that was lost at sea, map after map, by a run that predicts densities.

The density at the start is that of the releases of prepare; from then on the network is given its own output, with
the fields of the sea of each step, as in the roll-out.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from segfield import densities
from segfield.callbacks.rollout import refuse_cropped
from segfield.data.loader import collate
from segfield.data.ocean_density.course import Course
from segfield.drift.release import Released, released
from segfield.run import trained
from segfield.run.bar import bar
from segfield.run.data import learned
from segfield.run.forecast_files import DENSITY, PICTURE, TABLE, Maps, Predicted, attributes_of, rows_of, write
from segfield.run.freeze import CONFIG
from segfield.run.lock import locked
from segfield.run.masks import MASKS, RECORD
from segfield.run.skill import skill

_NOTED = 0.001  # of the mass
_AT_THE_EDGE = 0.01
_OTHER = "Choose another out=<folder>, or delete this one."


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Where an object was lost, `point` in degrees north and east, when, in UTC, how exactly, and for how long."""

    point: tuple[float, float]
    start: np.datetime64
    hours: float = 72.0
    radius_km: float = 5.0

    @property
    def name(self) -> str:
        """Return a name for a folder."""
        when = str(self.start.astype("datetime64[m]")).replace("-", "").replace(":", "")
        return f"{self.point[0]:g}_{self.point[1]:g}_{when}"


class Forecast(NamedTuple):
    """What came of it: where it is written, rows of forecast.csv, what is to be known, how good the run is at it."""

    out: Path
    rows: list[dict[str, str]]
    notes: list[str]
    skill: str
    before: bool  # it was there already


def forecast(folder: Path, asked: Asked, out: Path | None = None, placement: Sequence[str] = ()) -> Forecast:
    """Predict densities and write density.nc, forecast.csv and forecast.png.

    Args:
        folder: of a run that has ended.
        asked: where, when, how long.
        out: folder of the results; None: forecasts/<point and start> of the run.
        placement: key=value of placement keys; data.root names the set whose fields and cells are used.

    Raises:
        FileNotFoundError: if there is no run, no best.ckpt, no set.
        LockedError: if another process predicts into the folder.
        ValueError: if the run has not ended or predicts masks, the set is not for it, nothing can be released there and
            then, or the folder holds something else.
        OSError: if a result cannot be written.
    """
    folder = folder.absolute()
    out = (out or folder / "forecasts" / asked.name).absolute()
    config = trained.as_trained(folder, placement)
    if config.get("head") is None:
        raise ValueError(
            f"{folder} predicts masks of images, no densities. Type: python -m segfield predict {folder} <images or "
            "folders>"
        )
    if out.resolve() == folder.resolve() or any((out / name).exists() for name in (CONFIG, densities.COUNTS)):
        raise ValueError(f"out={out} is the folder of a run or of a set. Name another folder: out={out}/forecast.")
    with contextlib.chdir(folder):
        run = trained.restored(config)
        start = int(asked.start.astype("datetime64[ns]").astype(np.int64))
        course = run.data.course(start, asked.hours, learned())
        prepared = course.prepared
        begun = released(asked.point, asked.radius_km, prepared.latitude, prepared.longitude, prepared.sea)
        about = _about(run, asked)
        before = _stands(out, about)
        if not before:
            out.mkdir(parents=True, exist_ok=True)
            with locked(out):
                if not _stands(out, about):  # another process may have been here just now
                    _write(out, run, asked, course, begun, about)
        notes = str(attributes_of(out / DENSITY).get("comment", "")).splitlines()
        return Forecast(out, rows_of(out), notes, skill(run, folder, asked.hours), before)


def _about(run: trained.Trained, asked: Asked) -> dict[str, Any]:
    """Return the attributes that say which forecast it is."""
    root = Path(run.data.root)
    with densities.open_counts(root) as counts:
        known = {f"set_{name}": str(counts.attrs.get(name, "")) for name in ("protocol", "sources")}
    return {
        "checkpoint_sha256": run.checkpoint["sha256"],
        "config_sha256": trained.what(run.config),
        "point": [float(one) for one in asked.point],
        "start": f"{asked.start.astype('datetime64[s]')}Z",
        "hours": float(asked.hours),
        "radius_km": float(asked.radius_km),
        "set": str(root),
        **known,
    }


def _stands(out: Path, about: dict[str, Any]) -> bool:
    """Tell whether this very forecast is there, whole.

    Raises:
        ValueError: if another one is, or something else.
    """
    if not (out / DENSITY).exists():
        if strange := [name for name in (TABLE, PICTURE, RECORD, MASKS) if (out / name).exists()]:
            raise ValueError(f"{out} has {strange[0]} and no {DENSITY}: nobody knows whose it is. {_OTHER}")
        return False
    found = attributes_of(out / DENSITY)
    there = {name: _plain(found.get(name)) for name in about}
    if differ := [
        f"  {name}: {there[name]} there, {about[name]} asked for" for name in about if there[name] != about[name]
    ]:
        lines = "\n".join(differ)
        raise ValueError(f"{out} holds another forecast:\n{lines}\nNothing was changed. {_OTHER}")
    return all((out / name).exists() for name in (TABLE, PICTURE))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _write(
    out: Path, run: trained.Trained, asked: Asked, course: Course, begun: Released, about: dict[str, Any]
) -> None:
    maps, lacking = _rolled_out(run, course, course.prepared.smoothed(begun.density))
    versions = {"segfield": version("segfield"), "torch": torch.__version__}
    attributes = {
        **about,
        "run": str(Path.cwd()),
        "epoch": np.int64(run.checkpoint["epoch"] + 1),
        "versions": json.dumps(versions),
        "comment": "\n".join(_notes(begun, lacking, maps, course)),
    }
    when = str(asked.start.astype("datetime64[m]")).replace("T", " ")
    title = f"within {asked.radius_km:g} km of [{asked.point[0]:g},{asked.point[1]:g}] at {when} UTC"
    write(out, Predicted(course=course, maps=maps, point=begun.centre), attributes, title)


def _rolled_out(run: trained.Trained, course: Course, density: np.ndarray) -> tuple[Maps, float]:
    """Return the density and those after each step [T + 1, H, W], and how much of it lies where fields are missing.

    Raises:
        NoRolloutError: if the network gives no density for the border.
        ValueError: if no part of it lies where there are fields.
    """
    predict, steps, lacking = trained.inference(run), len(course.hours) - 1, 0.0
    maps = [density]
    with bar("predict") as tick:
        for step in range(steps):
            seen = {name: torch.from_numpy(values) for name, values in course.seen(step, maps[-1]).items()}
            if step == 0:
                lacking = float(density[~seen["valid"][0].numpy()].sum() / density.sum())
                if lacking > 1 - _NOTED:
                    names = ", ".join(dict.fromkeys(run.data.inputs.variables))
                    raise ValueError(
                        f"{names} of {run.data.root} have no value where the object is released: the network sees "
                        "nothing there. Use another point=, or data.root=<a set that covers it>."
                    )
            found = predict(collate([{"id": "forecast", "group": "forecast", **seen}]))["prediction"]
            refuse_cropped(found, seen["image"])
            maps.append(found[0, 0].cpu().numpy())
            tick(step + 1, steps)
    return np.stack(maps), lacking


def _notes(begun: Released, lacking: float, maps: Maps, course: Course) -> list[str]:
    """Say what became of mass that is not where one would look for it."""
    found = []
    if begun.land > _NOTED:
        found.append(f"{begun.land:.1%} of the circle is land: the object is released in its sea, as prepare does.")
    if begun.outside > _NOTED:
        found.append(f"{begun.outside:.1%} of the release is outside of the region of the set, and has left the mass.")
    if lacking > _NOTED:
        found.append(f"{lacking:.1%} of the release is where fields have no value, and is not followed.")
    last = maps[-1].clip(min=0).astype(np.float64)
    edge = 1 - last[1:-1, 1:-1].sum() / (last.sum() or 1.0)
    if last.any() and edge > _AT_THE_EDGE:
        found.append(
            f"{edge:.1%} of the mass is at the edge of the region after {course.hours[-1]:g} hours: what would leave "
            "is not followed. A set with a wider region= has more room."
        )
    return found
