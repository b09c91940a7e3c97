"""Data that others sent: a train_masks.csv that points elsewhere. Links that the user made in the data are followed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.data.demo import prepare_carvana

Cli = Callable[..., Any]
FAST = ("debug=fast", "threads=1", "model.width=4", "data=carvana")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "carvana"
    prepare_carvana(folder, cars=3, views=2, size=(64, 96), test_cars=0)
    return folder


@pytest.fixture
def root(drawn: Path, tmp_path: Path) -> Path:
    """A copy with run lengths and without mask files."""
    root = Path(shutil.copytree(drawn, tmp_path / "carvana"))
    shutil.rmtree(root / "train_masks")
    return root


@pytest.mark.parametrize("name", ["../../etc/passwd.jpg", "/etc/x.jpg", "..\\x.jpg", "a\0b.jpg", '"../a.jpg"'])
def test_a_row_that_names_a_file_elsewhere_stops_the_run_with_file_and_row(cli: Cli, root: Path, name: str) -> None:
    table = root / "train_masks.csv"
    table.write_text(table.read_text() + f"{name},1 1\n")
    outcome = cli("train.py", *FAST, f"data.root={root}")
    assert outcome.code == 2, outcome.err
    assert f"{table}, line 8: " in outcome.err
    assert "is no plain file name" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("runs", ["1 1000000000000000000", "-3 5", "5 10 7 2", "9" * 5000, "1"])
def test_run_lengths_that_are_none_stop_the_run_with_file_and_row(cli: Cli, root: Path, runs: str) -> None:
    table = root / "train_masks.csv"
    names = [line.split(",")[0] for line in table.read_text().splitlines()[1:]]
    table.write_text("img,rle_mask\n" + "".join(f"{name},{runs}\n" for name in names))
    outcome = cli("train.py", *FAST, f"data.root={root}")
    assert outcome.code == 2, outcome.err
    assert "train_masks.csv, row of " in outcome.err
    assert "Traceback" not in outcome.err


def test_links_that_the_user_made_in_the_data_are_followed(cli: Cli, drawn: Path, tmp_path: Path) -> None:
    root, disk = tmp_path / "linked", tmp_path / "disk"
    (root / "train_masks").mkdir(parents=True)
    shutil.copytree(drawn, disk)
    (root / "train").symlink_to(disk / "train")
    for mask in (disk / "train_masks").iterdir():
        (root / "train_masks" / mask.name).symlink_to(mask)
    outcome = cli("segfield", "check", *FAST, f"data.root={root}")
    assert outcome.code == 0, outcome.err
