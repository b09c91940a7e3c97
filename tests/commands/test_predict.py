"""`segfield predict` on real tiny runs and real files."""

import csv
import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from segfield.data import rle
from segfield.data.images import read_image
from segfield.run.masks import read_mask

Cli = Callable[..., Any]


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def noise(path: Path, shape: tuple[int, ...] = (40, 50, 3), seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)


def rows_of(path: Path) -> dict[str, str]:
    header, *rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    assert header == "img,rle_mask"
    return dict(row.split(",") for row in rows)  # type: ignore[misc]


def test_masks_overlays_probabilities_and_a_submission_have_the_size_of_their_photographs(
    cli: Cli, cars: Path, cars_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Path(shutil.move(cars_run, tmp_path / "moved"))
    before = {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()}
    monkeypatch.chdir(cars)  # the data set itself is not needed
    choices = ("overlays=true", "probabilities=true", "submission=true")
    outcome = cli("segfield", "predict", moved, "test", f"out={tmp_path / 'out'}", *choices)
    assert outcome.code == 0, outcome.err
    assert f"2 images predicted: {tmp_path / 'out'}" in outcome.out
    stems = sorted(path.stem for path in (cars / "test").iterdir())
    of_kinds = [
        f"{kind}/{stem}.{end}"
        for kind, end in (("masks", "png"), ("overlays", "jpg"), ("probabilities", "png"))
        for stem in stems
    ]
    others = ["lock.json", "log.txt", "predict.yaml", "submission.csv.gz"]
    assert names_in(tmp_path / "out") == sorted([*of_kinds, *others])
    rows = rows_of(tmp_path / "out/submission.csv.gz")
    assert list(rows) == [f"{stem}.jpg" for stem in stems]
    for stem in stems:
        with Image.open(tmp_path / f"out/masks/{stem}.png") as file:
            assert (file.mode, file.size) == ("L", (96, 64))
        mask = read_mask(tmp_path / f"out/masks/{stem}.png")
        assert set(np.unique(mask).tolist()) <= {0, 255}
        assert np.array_equal(rle.decode(rows[f"{stem}.jpg"], (64, 96)) * 255, mask)
        with Image.open(tmp_path / f"out/probabilities/{stem}.png") as file:
            assert np.array_equal(np.array(file) > 0.5 * 65535, mask > 0)
        assert read_image(tmp_path / f"out/overlays/{stem}.jpg", 3).shape == (3, 64, 96)
    assert {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()} == before


def test_what_is_written_is_not_done_again_and_a_second_call_adds_what_is_new(
    cli: Cli, blobs_run: Path, tmp_path: Path
) -> None:
    noise(tmp_path / "images/a.png")
    noise(tmp_path / "images/b.png", seed=1)
    assert cli("segfield", "predict", blobs_run, tmp_path / "images").code == 0
    masks = blobs_run / "predictions/masks"
    first = (masks / "a.png").stat().st_mtime_ns
    noise(tmp_path / "images/aa.png", seed=2)
    outcome = cli("segfield", "predict", blobs_run, tmp_path / "images", "submission=true")
    assert outcome.code == 0, outcome.err
    assert "2 of 3 images are predicted already" in outcome.err
    assert "their rows of the submission are made of the masks that stand" in outcome.err
    assert "3 images predicted, 2 of them before" in outcome.out
    assert (masks / "a.png").stat().st_mtime_ns == first
    rows = rows_of(blobs_run / "predictions/submission.csv.gz")
    assert list(rows) == ["a.jpg", "aa.jpg", "b.jpg"]
    for name, row in rows.items():
        assert row == rle.encode(read_mask(masks / name.replace("jpg", "png")))
    assert cli("segfield", "predict", blobs_run, tmp_path / "images", "overlays=true").code == 0
    assert names_in(blobs_run / "predictions/overlays") == ["a.jpg", "aa.jpg", "b.jpg"]


def test_images_that_cannot_be_read_are_listed_and_the_others_are_done(
    cli: Cli, blobs_run: Path, tmp_path: Path
) -> None:
    noise(tmp_path / "images/good.png")
    content = (tmp_path / "images/good.png").read_bytes()
    (tmp_path / "images/cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "images/lfs.tif").write_text("version https://git-lfs.github.com/spec/v1\n")
    words = (blobs_run, tmp_path / "images", f"out={tmp_path / 'out'}", "submission=true", "overlays=true")
    outcome = cli("segfield", "predict", *words)
    assert outcome.code == 1
    assert f"2 images could not be read, see {tmp_path / 'out/failed.csv'}" in outcome.out
    assert names_in(tmp_path / "out/masks") == ["good.png"]
    with (tmp_path / "out/failed.csv").open(newline="") as file:
        failed = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert list(failed) == [str(tmp_path / f"images/{name}") for name in ("cut.png", "lfs.tif")]
    assert "is damaged or cut short" in failed[str(tmp_path / "images/cut.png")]
    assert "is a Git LFS pointer" in failed[str(tmp_path / "images/lfs.tif")]
    rows = rows_of(tmp_path / "out/submission.csv.gz")
    assert rows["cut.jpg"] == rows["lfs.jpg"] == ""
    assert rows["good.jpg"] == rle.encode(read_mask(tmp_path / "out/masks/good.png"))
    for name in ("cut.png", "lfs.tif"):
        (tmp_path / "images" / name).unlink()
        noise(tmp_path / "images" / name)
    assert cli("segfield", "predict", *words).code == 0
    assert not (tmp_path / "out/failed.csv").exists()


def test_subfolders_stay_and_names_that_differ_in_their_extension_only_keep_it(
    cli: Cli, blobs_run: Path, tmp_path: Path
) -> None:
    for name in ("x/1.png", "x/1.bmp", "y/1.png", "y/2.jpeg", "2.png", "2_mask.png"):
        noise(tmp_path / "images" / name)
    (tmp_path / "images/notes.txt").write_text("no image")
    outcome = cli("segfield", "predict", blobs_run, tmp_path / "images", f"out={tmp_path / 'images/out'}")
    assert outcome.code == 0, outcome.err
    assert "2 images differ from another in their extension only; it stays: x/1.bmp.png" in outcome.err
    assert "1 masks beside their images" in outcome.err
    expected = ["2.png", "x/1.bmp.png", "x/1.png.png", "y/1.png", "y/2.png"]
    assert names_in(tmp_path / "images/out/masks") == expected
    # The folder of the results is not taken for images.
    outcome = cli("segfield", "predict", blobs_run, tmp_path / "images", f"out={tmp_path / 'images/out'}")
    assert "5 images predicted, 5 of them before" in outcome.out


def test_masks_of_other_weights_are_not_mixed(cli: Cli, blobs_run: Path, cars_run: Path, tmp_path: Path) -> None:
    noise(tmp_path / "a.png")
    assert cli("segfield", "predict", blobs_run, tmp_path / "a.png", f"out={tmp_path / 'out'}").code == 0
    record = yaml.safe_load((tmp_path / "out/predict.yaml").read_text())
    assert (record["run"], record["size"], record["threshold"]) == (str(blobs_run), [32, 32], 0.5)
    outcome = cli("segfield", "predict", cars_run, tmp_path / "a.png", f"out={tmp_path / 'out'}")
    assert outcome.code == 2
    assert f"{tmp_path / 'out'} holds predictions of {blobs_run}, with other weights or settings" in outcome.err
    assert "Choose another out=<folder>, or delete this one." in outcome.err
    (tmp_path / "out/predict.yaml").unlink()
    outcome = cli("segfield", "predict", blobs_run, tmp_path / "a.png", f"out={tmp_path / 'out'}")
    assert outcome.code == 2
    assert "stands already, without predict.yaml: nobody knows whose masks these are." in outcome.err
    # The same run from another place is the same.
    copied = shutil.copytree(blobs_run, tmp_path / "copied")
    assert cli("segfield", "predict", copied, tmp_path / "a.png", f"out={tmp_path / 'new'}").code == 0
    assert cli("segfield", "predict", blobs_run, tmp_path / "a.png", f"out={tmp_path / 'new'}", "threads=1").code == 0
