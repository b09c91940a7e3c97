"""Runs on drift densities: what they keep of their data, and what later executions hold them to."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from segfield.data import fingerprint
from segfield.data.ocean_density import OceanDensity
from segfield.run.data import hold_data, share_data

Cli = Callable[..., Any]
Ocean = Callable[..., OceanDensity]
FAST = (
    "data=ocean_density",
    "model.width=4",
    "debug=fast",
    "threads=1",
    "callbacks.panels=null",
    "callbacks.rollout=null",
)


@pytest.fixture
def made(ocean: Ocean, drift_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], OceanDensity]:
    """Make the data of a run anew, not set up, in the folder of the run."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    return lambda: ocean("sst", root=drift_set, standardised=("sst",), setup=False)


@pytest.mark.slow
def test_a_run_keeps_what_it_learned_beside_its_split_and_its_files(cli: Cli, drift_set: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("data/inputs=sst_pair_standardised", f"data.root={drift_set}")
    outcome = cli("train.py", *FAST, *words, f"hydra.run.dir={run}")
    assert outcome.code == 0, outcome.err
    with np.load(run / "statistics.npz") as file:
        saved = dict(file)
    assert sorted(saved) == ["mean_density", "mean_of_sst", "spacing_degrees", "spacing_hours", "std_of_sst"]
    files = {name: id_ for id_, name, _, _ in fingerprint.read_table(run / "data.csv")}
    assert files == {"densities.nc": "*", "fields/sst.nc": "*"}
    inputs = yaml.safe_load((run / "config.yaml").read_text())["data"]["inputs"]
    assert (inputs["variables"], inputs["offsets"]) == (["sst", "sst"], [0, 1])

    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.yaml", "splits.csv", "data.csv"):
        shutil.copy(run / name, other)
    np.savez(other / "statistics.npz", **{**saved, "std_of_sst": saved["std_of_sst"] * 2})
    assert cli("segfield", "execute", other).code == 0
    assert (other / "trace.csv").read_text() != (run / "trace.csv").read_text()


def test_later_executions_and_other_ranks_take_what_the_first_one_learned(made: Callable[[], OceanDensity]) -> None:
    hold_data(made(), [])
    with np.load("statistics.npz") as file:
        saved = {**dict(file), "mean_of_sst": np.asarray(7.0)}
    np.savez("statistics.npz", **saved)
    for hold in (lambda data: hold_data(data, []), share_data):
        data = made()
        hold(data)
        assert float(data.statistics()["mean_of_sst"]) == 7


def test_statistics_that_are_gone_are_computed_again(made: Callable[[], OceanDensity]) -> None:
    hold_data(made(), [])
    before = Path("statistics.npz").read_bytes()
    Path("statistics.npz").unlink()
    share_data(made())
    assert not Path("statistics.npz").exists()
    hold_data(made(), [])
    assert Path("statistics.npz").read_bytes() == before


@pytest.mark.parametrize("damage", ["short", "empty", "text", "array", "objects", "other"])
def test_damaged_statistics_are_named(made: Callable[[], OceanDensity], damage: str) -> None:
    hold_data(made(), [])
    path = Path("statistics.npz")
    content = path.read_bytes()
    path.write_bytes({"short": content[:-100], "empty": b"", "text": b"mean: 3\n"}.get(damage, content))
    if damage == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros((16, 20)))
    if damage == "objects":
        np.savez(path, mean_density=np.array([{}], dtype=object))
    if damage == "other":
        np.savez(path, mean_density=np.zeros((16, 20), np.float32))
    with pytest.raises(ValueError, match=r"statistics\.npz is not what this run learned .*Restore it .* or remove it"):
        hold_data(made(), [])


def test_a_changed_field_is_found_by_the_next_execution(made: Callable[[], OceanDensity], drift_set: Path) -> None:
    hold_data(made(), [])
    with (drift_set / "fields/u.nc").open("ab") as file:
        file.write(b"x")
    hold_data(made(), [])  # of which the run reads nothing
    with (drift_set / "fields/sst.nc").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"1 files differ: changed: fields/sst\.nc"):
        hold_data(made(), [])


def test_a_run_that_cannot_start_says_what_to_type(cli: Cli, drift_set: Path) -> None:
    outcome = cli("train.py", *FAST, f"data.root={drift_set}", "data.inputs.variables=[u,v,ssh]")
    assert outcome.code == 2
    assert "are 4 channels, data.inputs.in_channels is 3. Use data.inputs.in_channels=4." in outcome.err


def test_a_head_of_another_scale_than_the_data_is_refused(cli: Cli, drift_set: Path) -> None:
    outcome = cli("train.py", *FAST, f"data.root={drift_set}", "head.scale=1")
    assert outcome.code == 2
    assert "head.scale=1 is not data.density_scale=30.0, by which the network" in outcome.err, outcome.err


def test_the_rule_of_a_variable_of_your_own_is_typed_as_the_refusal_of_one_without_says(
    cli: Cli, make_drift_set: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_drift_set(tmp_path / "set", fields=("u", "v", "chl"))
    words = ("data=ocean_density", f"data.root={root}", "threads=1", "model.width=4", "model.depth=1")
    words += ("data.inputs.variables=[u,v,chl]", "data.inputs.in_channels=4", "data.inputs.rules={chl: scalar}")
    outcome = cli("segfield", "check", *words)
    assert outcome.code == 0, outcome.err


def test_input_sets_are_swept_by_one_command(cli: Cli, drift_set: Path) -> None:
    words = ("-m", *FAST, "data/inputs=uv,ssh", f"data.root={drift_set}", "data.inputs.in_channels=9")
    outcome = cli("train.py", *words)
    assert outcome.code == 2
    assert re.search(r"Job 0 .*\n- data\.inputs\.variables=\[u,v\] .*Use data\.inputs\.in_channels=3\.", outcome.err)
    assert re.search(r"Job 1 .*\n- data\.inputs\.variables=\[ssh\] .*Use data\.inputs\.in_channels=2\.", outcome.err)
