"""`segfield runs`: the command as it is typed, into a pipe."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from segfield.commands.runs import main

PROJECT = Path(__file__).resolve().parents[2]
Capture = pytest.CaptureFixture[str]
MakeRun = Callable[..., Path]


@pytest.fixture
def place(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four runs: two models, two learning rates, and the job of a sweep that failed."""
    options = {"model": "unet_small", "data": "blobs", "optimizer": "adamw"}
    times = [f"2026-01-0{day}_10-00-00-000000" for day in (1, 2, 3)]
    make_run(
        f"unet_small_blobs/{times[1]}", {}, options, best={"val/dice": 0.9}, epoch=6, seconds=3725.4, peak_memory_mb=815
    )
    make_run(f"unet_small_blobs/{times[0]}", {"lr: 0.001": "lr: 0.01"}, options, best={"val/dice": 0.95}, epoch=5)
    wide = {"width: 8": "width: 64", "threads: null": "threads: 2"}
    make_run(f"unet_blobs/{times[2]}", wide, {"model": "unet", "data": "blobs"}, best={"val/dice": 0.97}, epoch=6)
    make_run(f"sweeps/{times[2]}/10", {}, options, state="failed", reason="ValueError: no\ngood", epoch=0)
    monkeypatch.setenv("SEGFIELD_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


def table(capsys: Capture, *words: str | Path) -> list[list[str]]:
    """Return the rows of the plain table, its heading first; the command has nothing else to say."""
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return [[cell.strip() for cell in line.split("\t")] for line in said.out.splitlines()]


def test_the_table_shows_states_scores_and_the_keys_in_which_the_runs_differ_newest_last(
    place: Path, capsys: Capture
) -> None:
    head, *rows = table(capsys)
    keys = ["width", "lr"]
    assert head == ["run", "state", "model", "data", *keys, "best val/dice", "epoch", "time", "peak MB", "reason"]
    first, second, *_, last = rows
    name = "unet_small_blobs/2026-01-02_10-00-00-000000"
    assert second == [name, "finished", "unet_small", "blobs", "8", "0.001", "0.9000", "6/6", "1:02:05", "815", "-"]
    assert first[5:8] == ["0.01", "0.9500", "5/6"]
    assert [row[0] for row in rows[2:]] == [
        "sweeps/2026-01-03_10-00-00-000000/10",
        "unet_blobs/2026-01-03_10-00-00-000000",
    ]
    assert rows[2][1:] == ["failed", "unet_small", "blobs", "8", "0.001", "-", "0/6", "-", "-", "ValueError: no"]
    assert last[2:5] == ["unet", "blobs", "64"]


def test_columns_of_the_plain_table_stand_one_below_the_other(place: Path, capsys: Capture) -> None:
    assert main([]) == 0
    lines = [line.expandtabs() for line in capsys.readouterr().out.splitlines()]
    at = lines[0].index("state")
    assert {line[at:].split()[0] for line in lines} == {"state", "finished", "failed"}
    assert {line[at - 1] for line in lines} == {" "}


def test_a_sweep_one_run_and_saved_experiments_are_places_too(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job = table(capsys, place / "sweeps/2026-01-03_10-00-00-000000")
    assert job[0] == "10"
    monkeypatch.chdir(place / "unet_blobs/2026-01-03_10-00-00-000000")
    _, alone = table(capsys, ".")
    assert alone[0] == "2026-01-03_10-00-00-000000"
    _, saved = table(capsys, PROJECT / "experiments", "repeatability/baseline")
    assert saved == ["repeatability/baseline", "saved", "UNet", "Blobs", "0.8802", "6/6", "-", "-"]


def test_words_choose_runs_and_the_last_of_an_order_are_kept(place: Path, capsys: Capture) -> None:
    heads = [row[0].partition("/")[0] for row in table(capsys, "best>0.92", "--sort", "best")[1:]]
    assert heads == ["unet_small_blobs", "unet_blobs"]
    assert table(capsys, "--sort", "lr", "--limit", "1")[1][0] == "unet_small_blobs/2026-01-01_10-00-00-000000"
    assert len(table(capsys, "unet_small_blobs", "state=finished", "lr=1e-3")) == 2
    assert [row[0] for row in table(capsys, "--reverse")[1:]] == [row[0] for row in table(capsys)[:0:-1]]


def test_csv_holds_whole_names_every_differing_key_and_raw_numbers(place: Path, capsys: Capture) -> None:
    (place / "unet_blobs/2026-01-03_10-00-00-000000/status.json").unlink()
    assert main(["--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0])[:6] == ["run", "state", "model", "data", "model.width", "optimizer.lr"]
    assert [row["seconds"] for row in rows] == ["", "3725.4", "", ""]
    assert rows[2]["reason"] == "ValueError: no\\ngood"
    assert (rows[1]["metric"], rows[1]["best"], rows[1]["epoch"], rows[1]["epochs"]) == ("val/dice", "0.9", "6", "6")
    assert (rows[3]["state"], rows[3]["best"], rows[3]["frozen"]) == ("planned", "", "2026-01-03_10-00-00-000000")
    assert "threads" not in rows[0]


def test_no_run_is_no_error(place: Path, capsys: Capture, tmp_path: Path) -> None:
    assert main(["state=killed"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert f"None of the 4 runs below {place} fits state=killed. Words that are no conditions are parts of" in said.err
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 0
    assert f"No run folder at or below {tmp_path}/empty. Make one with: python train.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimiser.lr=1"], "optimiser.lr: no run here has such a key; did you mean optimizer.lr?"),
        (["--sort", "bets"], "bets: no run here has such a key; did you mean best?"),
        (["threshold=1"], "threshold may be metrics.metrics.dice.threshold or .* Write it whole."),
        (["best>x"], "best>x: expected a number after < or >, found 'x'. Write for example 'best>0.9'."),
        (["--diff", "a", "b", "state=x"], "--diff compares two runs; it takes neither a filter nor --sort"),
        (
            ["--diff", "a", "b"],
            "a is no run folder, neither here nor below .*outputs: it has no config.yaml. See which",
        ),
        (["--diff", "unet_small_blobs/*", "b"], "fits 2 run folders below .* Write more of the name."),
    ],
)
def test_a_wrong_call_says_what_was_meant(place: Path, capsys: Capture, words: list[str], message: str) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(message, said.err), said.err
