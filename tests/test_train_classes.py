"""A run of several classes as a user types it: names of classes are names of scores, everywhere."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

Cli = Callable[..., Any]
TINY = ("debug=fast", "data.length=10", "threads=1", "model.width=4", "model.depth=2")
SCORES = ("loss", "dice", "dice_set", "iou", "accuracy", "dice_ellipse", "dice_polygon", "iou_ellipse", "iou_polygon")


@pytest.fixture
def run(cli: Cli, only_run: Callable[[], Path]) -> Path:
    outcome = cli("train.py", *TINY, "data=blobs_shapes", "task.monitor=val/dice_polygon")
    assert outcome.code == 0, outcome.err
    return only_run()


def test_one_word_trains_several_classes_and_scores_each_by_its_name(run: Path, cli: Cli) -> None:
    with (run / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    names = [f"{stage}/{name}" for stage in ("train", "val") for name in SCORES]
    assert all(0 <= float(row[name]) <= 4 for name in names)
    (best,) = json.loads((run / "status.json").read_text())["best"].items()
    assert best == ("val/dice_polygon", pytest.approx(float(row["val/dice_polygon"])))
    assert "best val/dice_polygon" in cli("segfield", "runs", run).out

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0}).Reload()
    assert set(names) <= set(events.Tags()["scalars"])
    (tag,) = events.Tags()["images"]
    (picture,) = events.Images(tag)
    assert picture.width == 4 * 128 + 3 * 4  # 32 x 32 pixels are shown as 128 x 128; below them the legend
    assert picture.height > 128


def test_a_run_of_several_classes_is_reproduced_bit_for_bit(run: Path, cli: Cli) -> None:
    outcome = cli("segfield", "reproduce", run)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("verdict: bit-equal")


def test_masks_of_your_own_may_hold_several_classes(cli: Cli, only_run: Callable[[], Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in map(str, range(6)):
        for folder, high in (("images", 256), ("masks", 3)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, high, (32, 32), dtype=np.uint8)).save(tmp_path / folder / f"{name}.png")
    places = (f"data.images={tmp_path / 'images'}", f"data.masks={tmp_path / 'masks'}")
    several = ("task=multiclass", "data.out_channels=3", "data.classes=[background,cell,debris]")
    outcome = cli("train.py", *TINY[:1], *TINY[2:], "data=folder", *places, "data.in_channels=1", *several)
    assert outcome.code == 0, outcome.err
    assert "val/dice_debris" in (only_run() / "metrics.csv").read_text().splitlines()[0]
