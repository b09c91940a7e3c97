"""`segfield predict <run> point=... start=...`: what it says, and what it refuses."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from segfield.commands.predict import USAGE

Cli = Callable[..., Any]
LOST = ("point=[38.15,3.2]", "start=2005-04-10T01:30+02:00")


def test_a_forecast_says_where_the_object_is_and_is_not_made_twice(cli: Cli, drift_run: Path) -> None:
    outcome = cli("segfield", "predict", drift_run, *LOST, "hours=12", "threads=1")
    assert outcome.code == 0, outcome.err
    assert re.match(
        r"after 12 hours, 2005-04-10 11:30 UTC: the centre is at \[38\.\d{4},3\.\d{4}\], \d+\.\d km from that of the s"
        r"tart\nhalf of the mass is in \d+ km2, 90 % in \d+ km2; 100\.0% is in the region\n",
        outcome.out,
    )
    folder = drift_run / "forecasts/38.15_3.2_20050409T2330"
    assert outcome.out.endswith(f"written: {folder}\n")
    with Image.open(folder / "forecast.png") as picture:
        assert picture.size[0] > 200
    again = cli("segfield", "predict", drift_run, *LOST, "hours=12")
    assert again.out == outcome.out.replace("written:", "done already:")
    other = cli("segfield", "predict", drift_run, *LOST, "hours=6")
    assert other.code == 2
    assert f"{folder} holds another forecast:\n  hours: 12.0 there, 6.0 asked for\nNothing was changed." in other.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("{run}", "a.png"),
            r"a\.png: .*run predicts densities .* no masks of images\. Type .* predict .*/run point=\[",
        ),
        (("{run}",), r"Expected point= and start=: where and when the object was lost\. Type for example: python -m"),
        (("{run}", "point=[38,3]"), r"Expected start=: where"),
        (("point=[38,3]", LOST[1]), r"Expected a run folder\. Type for example: .* predict <run> point="),
        (
            ("{run}", *LOST, "radius=3"),
            r"radius=3 is no setting .* \(did you mean radius_km\?\)\. Settings are point, st",
        ),
        (("{run}", *LOST, "head=plain"), "what is computed is frozen in the run"),
        (("{run}", *LOST, "--out", "x"), "--out is no setting: they are written out=<value>"),
        (("{run}", *LOST, "out="), "out= names no folder"),
        (("{run}", "point=38,3", LOST[1]), r"point=38,3: expected \[latitude,longitude\] in degrees"),
        (("{run}", "point=[98,3]", LOST[1]), r"point=\[98,3\]: expected \[latitude,longitude\]"),
        (("{run}", "point=[NaN,3]", LOST[1]), r"point=\[NaN,3\]: expected"),
        (
            ("{run}", LOST[0], "start=june"),
            "start=june: expected a time in UTC. Use for example start=2005-06-01T00:00",
        ),
        (("{run}", LOST[0], "start=0001-01-01"), "start=0001-01-01: expected a time"),
        (("{run}", *LOST, "hours=0"), "hours=0: expected a number above 0. Use for example hours=72"),
        (("{run}", *LOST, "radius_km=x"), "radius_km=x: expected a number above 0. Use for example radius_km=5"),
        (
            ("{run}", LOST[0], "start=2006-01-01"),
            r"From 2006-01-01 00:00 UTC on, 72 hours need fields until .*Use anoth",
        ),
        (("{run}", "point=[38.001,3.001]", LOST[1]), r"lies on land\. The nearest sea is at \[38"),
        (
            ("{run}", *LOST, "data.root=nowhere"),
            r"nowhere is no prepared set .* or name the folder of another one by data",
        ),
        (("nowhere", *LOST), "nowhere is no run folder: it has no config.yaml"),
    ],
)
def test_a_wrong_call_is_told(cli: Cli, drift_run: Path, words: tuple[str, ...], message: str) -> None:
    outcome = cli("segfield", "predict", *(word.format(run=drift_run) for word in words))
    assert outcome.code == 2
    assert re.search(message, outcome.err), outcome.err
    assert "Traceback" not in outcome.err
    assert not (drift_run / "forecasts").exists()


def test_a_run_that_has_not_ended_is_told_so(cli: Cli, drift_run: Path) -> None:
    status = drift_run / "status.json"
    status.write_text(json.dumps({**json.loads(status.read_text()), "state": "failed"}))
    outcome = cli("segfield", "predict", drift_run, *LOST)
    assert outcome.code == 2
    assert "is failed, it has not come to its end. Finish it first: python -m segfield execute" in outcome.err


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), r"statistics\.npz is not there: it says what the run learned .* evaluate <run>"),
        (lambda path: path.write_bytes(b"no zip"), r"statistics\.npz is not what this run learned .* no \.npz"),
    ],
)
def test_statistics_that_are_gone_or_damaged_are_told(
    cli: Cli, drift_run: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(drift_run / "statistics.npz")
    outcome = cli("segfield", "predict", drift_run, *LOST)
    assert outcome.code == 2
    assert re.search(message, outcome.err), outcome.err


def test_a_run_of_masks_takes_no_point(cli: Cli, blobs_run: Path) -> None:
    outcome = cli("segfield", "predict", blobs_run, *LOST)
    assert outcome.code == 2
    assert (
        "is of a run that predicts densities; this one predicts masks. Type: python -m segfield predict " in outcome.err
    )
    assert "<run> <images or folders>" in outcome.err


def test_help_has_both_ways(cli: Cli) -> None:
    outcome = cli("segfield", "predict", "--help")
    assert outcome.out == USAGE
    for word in ("<images or folders ...>", "point=[lat,lon] start=", "data.root: a prepared set"):
        assert word in USAGE
