"""Each layout as a user of train.py meets it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

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


def test_a_fold_file_in_the_root_is_named_without_its_folder(cli: Cli, tmp_path: Path, write_slice: Write) -> None:
    for number in range(1, 5):
        write_slice(tmp_path / "figshare" / f"{number}.mat", patient=f"p{number}")
    scipy.io.savemat(tmp_path / "figshare/cvind.mat", {"cvind": np.array([[1.0, 2, 1, 2]])})
    words = ("data=brain_tumour", "data.in_channels=1", f"data.root={tmp_path / 'figshare'}", "data.folds=2")
    run = tmp_path / "run"
    outcome = cli("train.py", *FAST, *words, "data.fold=0", "data.fold_file=cvind.mat", f"hydra.run.dir={run}")
    assert outcome.code == 0, outcome.err
    assert "fold_file: cvind.mat" in (run / "config.yaml").read_text()
    rows = (run / "splits.csv").read_text().splitlines()[1:]
    assert {row.split(",")[1] for row in rows} == {"fold1", "fold2"}


def test_a_cache_of_masks_changes_no_loss(cli: Cli, tmp_path: Path, write_lgg: Write) -> None:
    lgg = write_lgg(tmp_path / "lgg", {"TCGA_AA_0001_20000101": 4, "TCGA_BB_0002_20000202": 4})
    losses = []
    for cache in ("none", "masks"):
        run = tmp_path / cache
        words = ("data=brain_tumour", f"data.root={lgg}", "data.intensity=volume", f"data.cache={cache}")
        outcome = cli("train.py", *FAST, *words, f"data.cache_dir={tmp_path / 'cache'}", f"hydra.run.dir={run}")
        assert outcome.code == 0, outcome.err
        losses.append((run / "trace.csv").read_text())
    assert losses[0] == losses[1]


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
