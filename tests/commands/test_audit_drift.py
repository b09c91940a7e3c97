"""`segfield audit data=ocean_density`: what a prepared set holds, and what is wrong with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5netcdf
import pytest

from segfield.commands.audit.drift import describe, table
from segfield.densities import COUNTS

Cli = Callable[..., Any]


def described(root: Path, split: Any = ()) -> tuple[dict[str, Any], list[str], list[str]]:
    return describe(root, split, lambda done, of: None)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((2, 1, 9, 9), 60000, r"1 ensembles hold more than 200 particles, the first is 00002\. Prepare the set again"),
        ((3, 2, 0, 0), 1, r"1 ensembles have particles on land, the first is 00003\. Prepare the set again"),
        ((4, 0), 0, r"1 ensembles have no particle at the release, the first is 00004\. Prepare the set again"),
    ],
)
def test_counts_that_cannot_be_are_errors(drift_set: Path, place: tuple[int, ...], value: int, message: str) -> None:
    import re

    with h5netcdf.File(drift_set / COUNTS, "r+") as file:
        file.variables["counts"][place] = value
    _, errors, _ = described(drift_set)
    assert any(re.search(message, error) for error in errors), errors


def test_particles_that_leave_deserve_a_look(make_drift_set: Callable[..., Path], tmp_path: Path) -> None:
    facts, errors, warnings = described(make_drift_set(tmp_path / "long", maps=9, samples=4))
    assert errors == []
    assert facts["inside"][0] == 1
    assert facts["inside"][-1] < 0.9
    assert len(warnings) == 1
    assert warnings[0].startswith("fewer than 90% of the particles are inside at ")
    assert warnings[0].endswith("48 h: a search there would miss them. Prepare a larger region, or shorter drifts.")


def test_parts_are_told_in_the_order_of_time_with_the_gaps_between_them(drift_set: Path) -> None:
    split = [(f"{n:05d}/00", f"{n:05d}", "val" if n > 9 else "train") for n in range(15) if n != 9]
    facts = described(drift_set, split)[0]
    assert list(facts["parts"]) == ["train", "val"]
    assert facts["parts"]["val"]["gap_hours"] == 113  # releases 68 or 69 hours apart, one left out, 24 hours of drift
    text = dict(table(facts))
    assert text["part val"].startswith("5 windows of 5 ensembles, released 2005-04-29T")
    assert text["part val"].endswith("113 h after the part before has ended")
    assert text["field ssh"] == "m, 9x10, 44 times 24 h apart, 2005-04-01T00:00 to 2005-05-14T00:00"


def test_a_set_is_described_with_its_parts(cli: Cli, drift_set: Path, tmp_path: Path) -> None:
    outcome = cli("segfield", "audit", "data=ocean_density", f"data.root={drift_set}", f"out={tmp_path / 'out'}")
    assert outcome.code == 0, outcome.err
    facts = json.loads((tmp_path / "out/audit.json").read_text())
    assert (facts["ensembles"], facts["particles"], facts["cells"]) == (15, 200, [16, 20])
    assert set(facts["parts"]) == {"train", "val"}
    assert facts["parts"]["val"]["gap_hours"] >= 72
    assert sorted(facts["fields"]) == ["ssh", "sst", "u", "v"]
    assert "region                16x20 cells of 2.32x1.82 km, 38.000 to 38.312 N, 3.000 to 3.396 E" in outcome.out
    assert "field ssh             m, 9x10, 44 times 24 h apart" in outcome.out
    assert outcome.out.splitlines()[-1] == f"wrote {tmp_path / 'out/audit.json'}"


def test_a_set_that_cannot_be_split_is_described_all_the_same(cli: Cli, drift_set: Path, tmp_path: Path) -> None:
    words = ("data=ocean_density", f"data.root={drift_set}", "data.gap_days=90", f"out={tmp_path / 'out'}")
    outcome = cli("segfield", "audit", *words)
    assert outcome.code == 1
    assert "ensembles             15 of 200 particles" in outcome.out
    assert outcome.err.startswith("This would make training wrong:\n- No ensemble is left for")


def test_a_set_that_is_not_there_says_how_one_is_made(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("segfield", "audit", "data=ocean_density", f"data.root={tmp_path}", f"out={tmp_path / 'out'}")
    assert outcome.code == 1
    assert outcome.err.count("python -m segfield prepare ocean_density") == 1


def test_augmented_densities_are_no_sheet_of_pictures(cli: Cli, drift_set: Path) -> None:
    outcome = cli("segfield", "audit", "data=ocean_density", f"data.root={drift_set}", "--augmented")
    assert outcome.code == 2
    assert outcome.err == (
        "--augmented shows pictures with masks; a run's TensorBoard shows densities. Leave it out.\n"
    )


def test_a_folder_that_cannot_be_written_is_said(cli: Cli, drift_set: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = ("data=ocean_density", f"data.root={drift_set}", f"out={tmp_path / 'file/out'}")
    outcome = cli("segfield", "audit", *words)
    assert outcome.code == 2
    assert f"{tmp_path / 'file/out'} cannot be written: " in outcome.err
