"""Runs on drift densities: what they keep of their data, and what later executions hold them to."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from segfield.data import fingerprint

Cli = Callable[..., Any]
FAST = ("data=ocean_density", "model.width=4", "debug=fast", "threads=1")


@pytest.fixture
def run(cli: Cli, drift_set: Path, tmp_path: Path) -> Path:
    """A run that has ended, of standardised temperatures."""
    folder = tmp_path / "run"
    words = ("data/inputs=sst_pair_standardised", f"data.root={drift_set}", f"hydra.run.dir={folder}")
    outcome = cli("train.py", *FAST, *words)
    assert outcome.code == 0, outcome.err
    return folder


def half(run: Path, folder: Path) -> Path:
    """Copy what a run is before its first step."""
    folder.mkdir()
    for name in ("config.yaml", "splits.csv", "statistics.npz", "data.csv"):
        shutil.copy(run / name, folder)
    return folder


def test_a_run_keeps_what_it_learned_and_later_executions_take_it(cli: Cli, run: Path, tmp_path: Path) -> None:
    with np.load(run / "statistics.npz") as file:
        saved = dict(file)
    assert sorted(saved) == ["mean_density", "mean_of_sst", "std_of_sst"]
    files = {name: id_ for id_, name, _, _ in fingerprint.read_table(run / "data.csv")}
    assert files == {"densities.nc": "*", "fields/sst.nc": "*"}
    inputs = yaml.safe_load((run / "config.yaml").read_text())["data"]["inputs"]
    assert (inputs["variables"], inputs["offsets"]) == (["sst", "sst"], [0, 1])

    again = half(run, tmp_path / "again")
    assert cli("segfield", "execute", again).code == 0
    assert (again / "trace.csv").read_text() == (run / "trace.csv").read_text()

    other = half(run, tmp_path / "other")
    np.savez(other / "statistics.npz", **{**saved, "std_of_sst": saved["std_of_sst"] * 2})
    assert cli("segfield", "execute", other).code == 0
    assert (other / "trace.csv").read_text() != (run / "trace.csv").read_text()


def test_statistics_that_are_gone_are_computed_again_and_damaged_ones_are_named(
    cli: Cli, run: Path, tmp_path: Path
) -> None:
    old = half(run, tmp_path / "old")
    (old / "statistics.npz").unlink()
    assert cli("segfield", "execute", old).code == 0
    assert (old / "trace.csv").read_text() == (run / "trace.csv").read_text()
    assert (old / "statistics.npz").exists()

    broken = half(run, tmp_path / "broken")
    (broken / "statistics.npz").write_bytes((run / "statistics.npz").read_bytes()[:-100])
    outcome = cli("segfield", "execute", broken)
    assert outcome.code == 1
    assert "statistics.npz is not what this run learned of its training part: " in outcome.err
    assert "Restore it from a copy of the run, or remove it" in outcome.err


def test_a_changed_field_is_found_by_the_next_execution(cli: Cli, run: Path, drift_set: Path, tmp_path: Path) -> None:
    with (drift_set / "fields/sst.nc").open("ab") as file:
        file.write(b"x")
    outcome = cli("segfield", "execute", half(run, tmp_path / "half"))
    assert outcome.code == 1
    assert "1 files differ: changed: fields/sst.nc" in outcome.err


def test_a_run_that_cannot_start_says_what_to_type(cli: Cli, drift_set: Path) -> None:
    outcome = cli("train.py", *FAST, f"data.root={drift_set}", "data.inputs.variables=[u,v,ssh]")
    assert outcome.code == 2
    assert "are 4 channels, data.inputs.in_channels is 3. Use data.inputs.in_channels=4." in outcome.err


@pytest.mark.slow
def test_input_sets_are_swept_by_one_command(cli: Cli, drift_set: Path, tmp_path: Path) -> None:
    words = ("-m", *FAST, "data/inputs=uv,ssh_sst_standardised", f"data.root={drift_set}")
    outcome = cli("train.py", *words, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert outcome.code == 0, outcome.err
    found = [yaml.safe_load((tmp_path / "sweep" / job / "config.yaml").read_text()) for job in "01"]
    assert [config["data"]["inputs"]["variables"] for config in found] == [["u", "v"], ["ssh", "sst"]]
    assert [config["model"]["in_channels"] for config in found] == [3, 3]
    tables = [(tmp_path / "sweep" / job / "splits.csv").read_text() for job in "01"]
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_two_ranks_and_a_rerun_take_the_statistics_of_the_run(cli: Cli, drift_set: Path, tmp_path: Path) -> None:
    words = ("data/inputs=sst_pair_standardised", f"data.root={drift_set}", "model.norm=group")
    for devices in (1, 2):
        placement = (
            f"trainer.devices={devices}",
            "trainer.accelerator=cpu",
            f"hydra.run.dir={tmp_path / str(devices)}",
        )
        outcome = cli("train.py", *FAST, *words, *placement)
        assert outcome.code == 0, outcome.err
    losses = [
        [float(row.split(",")[2]) for row in (tmp_path / name / "trace.csv").read_text().splitlines()[1:]]
        for name in ("1", "2")
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    outcome = cli("segfield", "reproduce", tmp_path / "1", "--into", tmp_path / "rerun")
    assert outcome.code == 0, outcome.out + outcome.err
    assert (tmp_path / "rerun/statistics.npz").read_bytes() == (tmp_path / "1/statistics.npz").read_bytes()
