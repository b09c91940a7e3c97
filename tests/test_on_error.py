"""A file that turns out unreadable in the middle of an epoch, as a user of train.py meets it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.data.carvana import Carvana
from segfield.data.demo import prepare_carvana

Cli = Callable[..., Any]
FAST = ("model=unet", "model.width=4", "debug=fast", "threads=1", "data=carvana", "data.size=[32,48]")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Carvana of drawn cars with one photograph cut short, one that no check reads."""
    folder = tmp_path_factory.mktemp("carvana") / "demo"
    prepare_carvana(folder, cars=4, views=2, size=(64, 96), test_cars=0)
    data = Carvana(in_channels=3, batch_size=2, root=str(folder))
    data.setup()
    cut = folder / data.split_table()[data.indices("train")[3]][0]
    cut.write_bytes(cut.read_bytes()[:-200])
    (folder / "cut").write_text(str(cut))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def trained(cli: Cli, drawn: Path, run: Path, *words: str) -> tuple[Any, dict[str, Any], str]:
    """Train; return how the command ended, the status and the log."""
    whole = ("trainer.limit_train_batches=1.0", "trainer.limit_val_batches=1.0", "data.batch_size=2")
    outcome = cli("train.py", *FAST, *whole, f"data.root={drawn}", f"hydra.run.dir={run}", *words)
    return outcome, json.loads((run / "status.json").read_text()), (run / "log.txt").read_text()


@pytest.mark.parametrize("cache", ["none", "disk"])
def test_the_run_ends_with_the_files_name_and_what_to_do(
    cli: Cli, drawn: Path, run: Path, tmp_path: Path, cache: str
) -> None:
    words = (f"data.cache={cache}", f"data.cache_dir={tmp_path / 'caches'}")
    outcome, status, _ = trained(cli, drawn, run, *words)
    assert (outcome.code, status["state"]) == (1, "failed")
    cut = (drawn / "cut").read_text()
    assert status["reason"].startswith(f"{cut} is damaged or cut short")
    assert "A new run with data.on_error=skip leaves such samples out, and counts them." in outcome.err
    assert "skipped" not in status


@pytest.mark.parametrize(("cache", "workers"), [("none", 1), ("disk", 0)])
def test_with_skip_the_run_goes_on_and_the_sample_is_counted_and_logged(
    cli: Cli, drawn: Path, run: Path, tmp_path: Path, cache: str, workers: int
) -> None:
    words = (f"data.cache={cache}", f"data.cache_dir={tmp_path / 'caches'}", f"data.num_workers={workers}")
    outcome, status, log = trained(cli, drawn, run, *words, "data.on_error=skip", "trainer.max_epochs=2")
    assert outcome.code == 0, outcome.err
    assert (status["state"], status["skipped"]) == ("finished", 1)
    cut = (drawn / "cut").read_text()
    lines = [line for line in log.splitlines() if "skipped train/" in line]
    assert len(lines) == 1
    assert "WARNING" in lines[0]
    assert f", 1 so far: {cut} is damaged or cut short" in lines[0]
    shutil.rmtree(run)


@pytest.mark.slow
def test_ranks_count_a_skipped_sample_once_whichever_of_them_meets_it(cli: Cli, drawn: Path, run: Path) -> None:
    outcome, status, _ = trained(
        cli, drawn, run, "trainer=ddp", "trainer.devices=2", "data.on_error=skip", "trainer.max_epochs=3"
    )
    assert outcome.code == 0, outcome.err
    assert (status["state"], status["skipped"]) == ("finished", 1)
