"""The table on terminals of several widths."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MakeRun = Callable[..., Path]
STAMPS = [f"2026-01-02_10-11-1{second}-000000" for second in range(4)]


def seen(place: Path, columns: int, *words: str, lines: int = 40) -> list[str]:
    """Return the lines that the command shows on a terminal, without colours."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "segfield", "runs", place, *words]
    size = {"COLUMNS": str(columns), "LINES": str(lines), "TERM": "xterm"}
    with subprocess.Popen(command, stdout=its, stderr=its, env=os.environ | size) as child:
        os.close(its)
        found = b""
        while True:
            try:
                found += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
        os.close(ours)
    assert child.returncode in (0, 1), found
    text = re.sub(r"\x1b\[[0-9;]*m", "", found.decode())
    return [line.rstrip() for line in text.splitlines()]


@pytest.fixture
def place(make_run: MakeRun, tmp_path: Path) -> Path:
    """Runs of two models that differ in six keys."""
    for number in range(4):
        model = ("unet", "unet_small")[number % 2]
        changes = {
            "lr: 0.001": f"lr: 0.00{number + 1}",
            "weight_decay: 0.0001": f"weight_decay: 0.0{number}1",
            "batch_size: 16": f"batch_size: {8 * (number + 1)}",
            "max_epochs: 6": f"max_epochs: {number + 6}",
            "dropout: 0.0": f"dropout: 0.{number}",
            "width: 8": f"width: {64 if number % 2 else 16}",
        }
        make_run(
            f"{model}_blobs/{STAMPS[number]}",
            changes,
            {"model": model, "data": "blobs"},
            **{"best": {"val/dice": 0.9 + number / 100}, "epoch": 6, "seconds": 61, "peak_memory_mb": 900 + number},
        )
    return tmp_path / "outputs"


def test_a_wide_terminal_shows_all_columns(place: Path) -> None:
    lines = seen(place, 200)
    names = ["run", "state", "model", "data", "width", "dropout", "lr", "weight_decay", "batch_size", "max_epochs"]
    assert lines[1].split() == [*names, "val/dice", "epoch", "time", "MB"]
    assert lines[2].split()[:4] == [f"unet_blobs/{STAMPS[0]}", "finished", "unet", "blobs"]
    assert len({len(line) for line in lines[1:6]}) == 1
    assert lines[6:] == [f"4 runs below {place}: 4 finished."]


def test_a_narrow_terminal_shows_what_fits_and_names_the_rest(place: Path) -> None:
    lines = seen(place, 80)
    table = lines[:6]
    assert max(map(len, lines)) <= 80
    assert table[1].split()[0] == "run"
    assert [line.split()[0] for line in table[2:]] == [
        f"{name}_blobs/{stamp[:-7]}*" for name, stamp in zip(("unet", "unet_small") * 2, STAMPS, strict=True)
    ]
    said = " ".join(lines[6:])
    assert "All have data blobs. Left out at 80 columns: " in said
    assert "--csv has all of them." in said
    shown = table[1].split()
    assert all((name in shown) != (name in said) for name in ("lr", "weight_decay", "batch_size"))


def test_runs_of_one_second_keep_their_whole_names(make_run: MakeRun, tmp_path: Path) -> None:
    names = [f"resnet_unet_blobs/2026-01-02_10-11-12-00000{number}" for number in (0, 1)]
    for name, lr in zip(names, ("lr: 0.1", "lr: 0.2"), strict=True):
        make_run(name, {"lr: 0.001": lr}, state="interrupted", reason="signal 15")
    assert [line.split()[0] for line in seen(tmp_path / "outputs", 80)[2:4]] == names


def test_a_very_narrow_terminal_folds_the_names_alone(place: Path) -> None:
    lines = seen(place, 50)
    assert max(map(len, lines[:10])) <= 50
    assert sum("finished" in line for line in lines[:12]) == 4


def test_a_table_longer_than_the_terminal_has_its_heading_at_the_end_too(place: Path) -> None:
    assert sum("state" in line.split() for line in seen(place, 200, lines=3)) == 2


def test_nothing_that_a_run_holds_moves_the_cursor(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a\x1b[2Jb", {"val/dice": "'[red]x'"}, {"model": "m\x1b[31m"}, state="failed", reason="\x1b]0;x\x07")
    make_run("c", {"up: bilinear": 'up: "\\e[2J[bold]"'})
    text = "\n".join(seen(tmp_path / "outputs", 160))
    assert "\x1b" not in text
    assert r"a\x1b[2Jb" in text
    assert r"\x1b[2J[bold]" in text


def test_a_difference_names_its_runs_below(place: Path) -> None:
    names = f"unet_blobs/{STAMPS[0]}", f"unet_small_blobs/{STAMPS[1]}"
    lines = seen(place, 80, "--diff", *names)
    assert lines[0].split() == ["A", "B"]
    assert ["optimizer.lr", "0.001", "0.002"] in [line.split() for line in lines]
    assert lines[-3:] == [f"A: {names[0]}", f"B: {names[1]}", "They compute different things."]
