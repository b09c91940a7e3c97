"""evaluate and predict where there are several classes."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Cli = Callable[..., Any]


@pytest.fixture
def shapes_run(cli: Cli, kept: Path, tmp_path: Path) -> Path:
    """A finished run on blobs of two classes."""
    if not (kept / "shapes/status.json").exists():
        words = ("debug=fast", "data=blobs_shapes", "data.length=12", "data.val_fraction=0.5", "threads=1")
        words += ("trainer.max_epochs=3", "trainer.limit_val_batches=1.0", "optimizer.lr=1e-2")
        outcome = cli("train.py", *words, f"hydra.run.dir={kept / 'shapes'}")
        assert outcome.code == 0, outcome.err
    return Path(shutil.copytree(kept / "shapes", tmp_path / "run"))


def test_every_class_has_the_scores_that_training_reported_and_its_counts(cli: Cli, shapes_run: Path) -> None:
    outcome = cli("segfield", "evaluate", shapes_run)
    assert outcome.code == 0, outcome.err
    assert "dice_polygon" in outcome.out
    summary = json.loads((shapes_run / "evaluation/summary.json").read_text())
    found = summary["parts"]["val"]
    assert found["training"]["bit_equal"]
    names = {"dice": "val/dice", "dice_set": "val/dice_set", "iou_set": "val/iou"}
    names |= {f"{kind}_{name}": f"val/{kind}_{name}" for kind in ("dice", "iou") for name in ("ellipse", "polygon")}
    for name, logged in names.items():
        assert found["working_size"]["scores"][name]["value"] == found["logged"][logged]
    assert "truth or prediction has the class" in summary["rules"]["dice_<class>"]
    with (shapes_run / "evaluation/per_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    for row in rows:
        assert int(row["hits_ellipse"]) <= min(int(row["predicted_ellipse"]), int(row["true_ellipse"]))
    assert sum(int(row["true_polygon"]) for row in rows) > 0
    with Image.open(next((shapes_run / "evaluation/panels").glob("val_worst_01_*.png"))) as file:
        assert file.height > 32  # with a legend


def test_masks_are_class_numbers_with_a_palette_and_probabilities_have_a_folder_a_class(
    cli: Cli, shapes_run: Path, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    choices = ("overlays=true", "probabilities=true")
    outcome = cli("segfield", "predict", shapes_run, tmp_path / "a.png", f"out={tmp_path / 'out'}", *choices)
    assert outcome.code == 0, outcome.err
    with Image.open(tmp_path / "out/masks/a.png") as file:
        assert (file.mode, file.size) == ("P", (50, 40))
        assert (file.getpalette() or [])[:9] == [0, 0, 0, 0xE6, 0x9F, 0x00, 0x56, 0xB4, 0xE9]
        mask = np.array(file)
    values = []
    for name in ("ellipse", "polygon"):
        with Image.open(tmp_path / f"out/probabilities/{name}/a.png") as file:
            values.append(np.array(file, dtype=np.int64))
    background = 65535 - values[0] - values[1]
    clear = np.sort([background, *values], axis=0)
    clear = clear[2] - clear[1] > 4  # rounding decides nothing there
    assert np.array_equal(np.argmax([background, *values], axis=0)[clear], mask[clear])
    assert (tmp_path / "out/overlays/a.jpg").exists()
    outcome = cli("segfield", "predict", shapes_run, tmp_path / "a.png", "submission=true")
    assert outcome.code == 2
    assert "A submission is of binary masks; this run has several classes" in outcome.err
