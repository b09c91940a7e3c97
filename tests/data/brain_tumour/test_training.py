"""Each layout as a user of train.py meets it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
Write = Callable[..., Path]
FAST = ("debug=fast", "threads=1", "model.width=4")

pytestmark = pytest.mark.slow


def test_every_layout_trains_from_one_command(
    cli: Cli, tmp_path: Path, write_lgg: Write, write_slice: Write, export: Path
) -> None:
    lgg = write_lgg(tmp_path / "lgg", {"TCGA_AA_0001_20000101": 4, "TCGA_BB_0002_20000202": 4})
    for number in (1, 2, 3, 4):
        write_slice(tmp_path / "figshare" / f"{number}.mat", patient=f"p{number}")
    for number, words in enumerate(
        (
            ("data=brain_tumour_flair", f"data.root={lgg}", "metrics=binary_group", "data.intensity=volume"),
            ("data=brain_tumour", f"data.root={export}"),
            ("data=brain_tumour", f"data.root={tmp_path / 'figshare'}", "data.in_channels=1"),
        )
    ):
        run = tmp_path / f"run{number}"
        outcome = cli("train.py", *FAST, *words, f"hydra.run.dir={run}")
        assert outcome.code == 0, outcome.err
        rows = [row.split(",")[0] for row in (run / "data.csv").read_text().splitlines()[1:]]
        assert set(rows) == {row.split(",")[0] for row in (run / "splits.csv").read_text().splitlines()[1:]}


def test_an_outline_that_changes_is_seen_by_the_fingerprint(cli: Cli, tmp_path: Path, export: Path) -> None:
    run = tmp_path / "run"
    assert cli("train.py", *FAST, "data=brain_tumour", f"data.root={export}", f"hydra.run.dir={run}").code == 0
    annotations = export / "train/_annotations.coco.json"
    annotations.write_text(annotations.read_text().replace("[2, 2, 12, 2, 2, 20]", "[2, 2, 12, 2, 2, 19]"))
    outcome = cli("segfield", "reproduce", run)
    assert "annotations, row of train/a_jpg.rf.0a.jpg" in outcome.out + outcome.err


@pytest.mark.parametrize(
    "words",
    [
        ("data=brain_tumour", "data.root=lgg", "metrics=binary_group"),
        ("data=brain_tumour", "data.root=tumorseg"),
        ("data=brain_tumour", "data.root=brain_polygons"),
    ],
)
def test_the_real_samples_train(cli: Cli, shared_data: Path, words: tuple[str, ...]) -> None:
    words = tuple(word.replace("root=", f"root={shared_data}/") for word in words)
    outcome = cli("train.py", *FAST, *words)
    assert outcome.code == 0, outcome.err
