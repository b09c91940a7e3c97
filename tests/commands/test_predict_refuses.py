"""What `segfield predict` refuses, and kills."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segfield.run.lock import locked

Cli = Callable[..., Any]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images of one name in two folders."""
    for number, name in enumerate(("a/1.png", "b/1.png")):
        (tmp_path / "images" / name).parent.mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / name)
    (tmp_path / "images/run").mkdir()
    (tmp_path / "images/run/config.yaml").write_text("seed: 0\n")
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Expected a run folder and at least one image"),
        (("{run}",), "Expected a run folder and at least one image"),
        (("{run}", "{images}", "overlay=true"), r"neither an image nor a setting \(did you mean overlays\?\)"),
        (("{run}", "{images}", "overlays=1"), "overlays=1: expected true or false"),
        (("{run}", "{images}", "out="), "out= names no folder"),
        (("{run}", "{images}", "--out", "x"), "--out is no setting: they are written out=<value>"),
        (("{run}", "{images}", "task.threshold=0.3"), "what is computed is frozen in the run"),
        (("{run}", "nowhere.png"), r"There is no .*nowhere\.png\. Name images"),
        (("{run}", "{images}/a", "out={images}/a"), "is the run or the images themselves. Name another folder"),
        (("{run}", "{images}/a", "out={images}/run"), "is the folder of another run. Name another folder"),
        (("{run}", "{images}/a", "{images}/b"), r"would both become 1\.png\. Name the folder above both"),
        (("{run}", "{images}", "submission=true"), r"1 names stand twice in a submission, first 1\.jpg"),
        (("{images}", "{images}"), "is no run folder"),
    ],
)
def test_a_wrong_call_is_told(cli: Cli, blobs_run: Path, images: Path, words: tuple[str, ...], message: str) -> None:
    outcome = cli("segfield", "predict", *(word.format(run=blobs_run, images=images) for word in words))
    assert outcome.code == 2
    assert re.search(message, outcome.err)
    assert "Traceback" not in outcome.err


def test_a_folder_without_images_and_one_in_use_are_told(cli: Cli, blobs_run: Path, images: Path) -> None:
    (images / "empty").mkdir()
    outcome = cli("segfield", "predict", blobs_run, images / "empty")
    assert outcome.code == 2
    assert f"No images in {images / 'empty'}: no file there or below has an extension that is read" in outcome.err
    with locked(blobs_run / "predictions"):
        (blobs_run / "predictions/predict.yaml").unlink(missing_ok=True)
        outcome = cli("segfield", "predict", blobs_run, images)
    assert outcome.code == 2
    assert f"{blobs_run / 'predictions'} is being executed already" in outcome.err
    assert not (
        blobs_run / "predictions/predict.yaml"
    ).exists()  # it is the other process's to say whose masks these are


def test_a_pipe_and_a_link_that_leads_nowhere_are_listed_and_nothing_waits(
    cli: Cli, blobs_run: Path, images: Path, tmp_path: Path
) -> None:
    os.mkfifo(images / "pipe.png")
    (images / "link.png").symlink_to("nowhere.png")
    Path(os.fsdecode(os.fsencode(images) + b"/\xff.png")).write_bytes(b"no image")  # a name that is not UTF-8
    outcome = cli("segfield", "predict", blobs_run, images, f"out={tmp_path / 'out'}", "overlays=true")
    assert outcome.code == 1
    assert b"/\xff.png is no image" in (tmp_path / "out/failed.csv").read_bytes()
    failed = (tmp_path / "out/failed.csv").read_text(errors="replace")
    for name in ("pipe", "link"):
        assert f"{images / name}.png is a link that leads nowhere, or no file. Copy the image itself there." in failed


def test_a_mask_that_was_damaged_since_stops_a_submission(cli: Cli, blobs_run: Path, images: Path) -> None:
    assert cli("segfield", "predict", blobs_run, images / "a").code == 0
    path = blobs_run / "predictions/masks/1.png"
    path.write_bytes(path.read_bytes()[:60])
    outcome = cli("segfield", "predict", blobs_run, images / "a", "submission=true")
    assert outcome.code == 2
    assert f"{path} is no mask any more: " in outcome.err
    assert not (blobs_run / "predictions/submission.csv.gz").exists()


def content_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("lock.json", "log.txt"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_prediction_that_was_killed_goes_on_and_ends_as_an_undisturbed_one(
    cli: Cli, blobs_run: Path, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "many").mkdir()
    for place in range(150):
        pixels = np.random.default_rng(place).integers(0, 256, (70, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"many/{place:03}.png")
    words = ["predict", str(blobs_run), str(tmp_path / "many"), "overlays=true", "submission=true"]
    assert cli("segfield", *words, f"out={tmp_path / 'whole'}").code == 0
    killed = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")}
    with (tmp_path / "said").open("w") as said:
        command = [sys.executable, "-m", "segfield", *words, f"out={killed}"]
        child = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        until = time.monotonic() + 60
        while len(list(killed.glob("masks/*.png"))) < 10 and time.monotonic() < until:
            time.sleep(0.005)
        child.send_signal(number)
        assert child.wait(30) == (130 if number == signal.SIGINT else -number)
    before = len(list(killed.glob("masks/*.png")))
    assert 10 <= before < 150
    assert not (killed / "submission.csv.gz").exists()
    outcome = cli("segfield", *words, f"out={killed}")
    assert outcome.code == 0, outcome.err
    assert f"{before} of 150 images are predicted already" in outcome.err
    assert content_of(killed) == content_of(tmp_path / "whole")
