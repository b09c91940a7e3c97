"""predict(run, images): the masks of any number of images, at their own size, from a run's best.ckpt.

One image after the other: the bits of a mask depend on no other image, and memory does not grow with their number.
What is written is not done again.
"""

import contextlib
import csv
import io
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml

from segfield.data import images
from segfield.files import whole, write_text
from segfield.run import trained
from segfield.run.bar import bar
from segfield.run.evaluate import decided
from segfield.run.freeze import CONFIG
from segfield.run.lock import locked
from segfield.run.log import logged
from segfield.run.masks import MASKS, RECORD, Results, read_mask
from segfield.run.pictures import Picture, ahead, pictures
from segfield.run.submission import Submission, names, submission
from segfield.spatial import to_own_size

_log = logging.getLogger(__name__)
FAILED = "failed.csv"


@dataclass(frozen=True)
class Wanted:
    """What to write beside the masks."""

    overlays: bool = False
    probabilities: bool = False
    submission: bool = False


class Done(NamedTuple):
    """How a prediction ended: numbers of images, those that stood already included in `written`."""

    written: int
    before: int
    failed: int


class _Read(NamedTuple):
    image: np.ndarray  # [C, H, W] at the working size
    own: tuple[int, int]


def predict(
    folder: Path, words: Sequence[Path], out: Path | None, wanted: Wanted, placement: Sequence[str] = ()
) -> Done:
    """Predict images and write masks/<name>.png and what else is wanted.

    Args:
        folder: of a run that has ended.
        words: images and folders of images.
        out: folder of the results; None: predictions/ of the run.
        wanted: beside the masks.
        placement: key=value of placement keys.

    Raises:
        FileNotFoundError: if there is no run, no best.ckpt or no image.
        LockedError: if another process predicts into the folder.
        ValueError: if the run has not ended or predicts densities, the folder holds predictions of other weights, or
            the call is wrong.
        OSError: if a result cannot be written.
    """
    folder, words = folder.absolute(), [word.absolute() for word in words]
    out = (out or folder / "predictions").absolute()
    config = trained.as_trained(folder, placement)
    if out.resolve() in {folder.resolve(), *(word.resolve() for word in words)}:
        raise ValueError(f"out={out} is the run or the images themselves. Name another folder: out={out}/predictions.")
    if (out / CONFIG).exists():
        raise ValueError(f"out={out} is the folder of another run. Name another folder: out={out}/predictions.")
    if config.get("head") is not None:
        raise ValueError(
            f"{folder} predicts densities from fields of the sea, no masks of images. Type for example: "
            f"python -m segfield predict {folder} point=[38.4,3.2] start=2005-06-01T00:00"
        )
    with contextlib.chdir(folder):
        run = trained.restored(config)
        if wanted.submission and run.data.out_channels > 1:
            raise ValueError(
                "A submission is of binary masks; this run has several classes. Leave submission=true out."
            )
        _check_owner(out, run)
        out.mkdir(parents=True, exist_ok=True)
        with locked(out):
            _claim(out, folder, run)
            with logged(out / "log.txt"):
                asked = pictures(words, run.data.suffixes, out)
                if wanted.submission:
                    names([picture.path for picture in asked])
                _log.info("predicting %d images with best.ckpt of epoch %d", len(asked), run.checkpoint["epoch"] + 1)
                done = _Prediction(run, out, wanted).run(asked)
                _log.debug("done: %d written, %d of them before, %d failed", *done)  # to log.txt alone
                return done


def _owner(run: trained.Trained) -> dict[str, str]:
    return {"checkpoint_sha256": run.checkpoint["sha256"], "config_sha256": trained.what(run.config)}


def _check_owner(out: Path, run: trained.Trained) -> None:
    """Refuse a folder that holds masks of another run, or of nobody knows which.

    Raises:
        ValueError: if it does; nothing is written.
    """
    found = _record(out / RECORD)
    if found is None and (out / MASKS).exists():
        raise ValueError(
            f"{out / MASKS} stands already, without {RECORD}: nobody knows whose masks these are. {_OTHER}"
        )
    if found is not None and any(found.get(name) != value for name, value in _owner(run).items()):
        raise ValueError(
            f"{out} holds predictions of {found.get('run')}, with other weights or settings: masks of the two would be "
            f"mixed. {_OTHER}"
        )


def _claim(out: Path, folder: Path, run: trained.Trained) -> None:
    """Write down whose predictions the folder holds; under its lock, for another run may have begun just now."""
    _check_owner(out, run)
    if not (out / RECORD).exists():
        data = run.data
        said = {"size": None if data.size is None else list(data.size), "classes": list(data.classes)}
        record = {"run": str(folder), **run.checkpoint, **_owner(run), "threshold": run.task.threshold, **said}
        write_text(out / RECORD, yaml.safe_dump(record, sort_keys=False))


_OTHER = "Choose another out=<folder>, or delete this one."


def _record(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        found = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError):
        found = None
    return found if isinstance(found, dict) else {}


class _Prediction:
    """One call: reads ahead, predicts, writes."""

    def __init__(self, run: trained.Trained, out: Path, wanted: Wanted) -> None:
        self._data, self._task, self._out, self._wanted = run.data, run.task, out, wanted
        classes = list(run.data.classes)
        self._results = Results(out, classes, run.data.colours, wanted.overlays, wanted.probabilities)
        self._predict = trained.inference(run)
        self._failed: dict[Picture, str] = {}

    def run(self, asked: Sequence[Picture]) -> Done:
        """Go through all images, in the order of their names."""
        self._results.clear()
        before = {picture.name for picture in asked if self._results.done(picture.name)}
        if before:
            _log.info("%d of %d images are predicted already", len(before), len(asked))
            if self._wanted.submission:
                _log.info("their rows of the submission are made of the masks that stand")
        rows = submission(self._out) if self._wanted.submission else contextlib.nullcontext()
        todo = (picture for picture in asked if picture.name not in before)
        with rows as table, bar("predict") as tick:
            place = 0
            for picture, read in ahead(self._read, todo):
                while asked[place] is not picture:
                    self._row(table, asked[place])
                    place += 1
                self._one(picture, read)
                self._row(table, picture)
                place += 1
                tick(place, len(asked))
            for rest in asked[place:]:
                self._row(table, rest)
        self._tell_failed()
        return Done(len(asked) - len(self._failed), len(before), len(self._failed))

    def _read(self, picture: Picture) -> _Read:
        """Read an image at the working size, and how large it is itself."""
        if not picture.path.is_file():  # to open a pipe would wait for ever
            raise ValueError(f"{picture.path} is a link that leads nowhere, or no file. Copy the image itself there.")
        image = self._data.read_picture(picture.path, self._data.size)
        if self._data.size is None:
            return _Read(image, image.shape[-2:])
        if picture.path.suffix.lower() in images.suffixes():
            return _Read(image, images.file_size(picture.path))
        return _Read(image, self._data.read_picture(picture.path, None).shape[-2:])

    def _one(self, picture: Picture, read: "Future[_Read]") -> None:
        """Predict and write one image, or note why it cannot be read."""
        try:
            image, own = read.result()
            tensor = torch.from_numpy(np.require(image, requirements=["C", "W"]))[None]
            found = self._predict({"image": tensor, "id": [picture.name], "group": [picture.name]})["prediction"][0]
            working = (image.shape[-2], image.shape[-1])
            predicted, inside = decided(found, working, own, self._task.threshold)
            shown = self._data.read_picture(picture.path, None) if self._wanted.overlays else None
        except (ValueError, OSError) as error:
            self._failed[picture] = " ".join(str(error).split())
            _log.warning("left out: %s", error)
            return
        values = (to_own_size(found, working, own)[0] * inside).cpu().numpy() if self._wanted.probabilities else None
        self._results.write(picture.name, predicted.cpu().numpy(), shown, values)

    def _row(self, table: Submission | None, picture: Picture) -> None:
        if table is not None:
            failed = picture in self._failed
            table.add(picture.path, None if failed else read_mask(self._results.mask(picture.name)))

    def _tell_failed(self) -> None:
        path = self._out / FAILED
        if not self._failed:
            path.unlink(missing_ok=True)
            return
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["path", "reason"])
        rows.writerows([str(picture.path), reason] for picture, reason in self._failed.items())
        with whole(path) as file:  # a name need not be UTF-8: its bytes are kept
            file.write(text.getvalue().encode(errors="surrogateescape"))
