"""Settings of the data that change how a run reads, or which samples it reads, through train.py."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.data.demo import prepare_carvana

Cli = Callable[..., Any]
FAST = ("model=unet", "model.width=4", "debug=fast", "threads=1", "data=carvana", "data.size=[32,48]")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Carvana of drawn cars."""
    folder = tmp_path_factory.mktemp("carvana") / "demo"
    prepare_carvana(folder, cars=3, views=2, size=(64, 96), test_cars=0)
    return folder


def test_a_run_with_a_cache_ends_in_the_bits_of_one_without(cli: Cli, drawn: Path, tmp_path: Path) -> None:
    for cache in ("none", "disk"):
        words = (f"data.cache={cache}", f"data.cache_dir={tmp_path / 'caches'}", f"hydra.run.dir={tmp_path / cache}")
        outcome = cli("train.py", *FAST, f"data.root={drawn}", *words)
        assert outcome.code == 0, outcome.err
    assert list((tmp_path / "caches").iterdir())
    for name in ("trace.csv", "weights.sha256", "data.csv"):
        assert (tmp_path / "none" / name).read_text() == (tmp_path / "disk" / name).read_text()


def test_a_cache_that_does_not_fit_the_disk_ends_the_run_before_its_first_step(
    cli: Cli, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage
    small = shutil._ntuple_diskusage(9, 8, 1000)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: small if "caches" in str(path) else usage(path))
    outcome = cli("train.py", *FAST, f"data.root={drawn}", "data.cache=disk", f"data.cache_dir={tmp_path / 'caches'}")
    assert outcome.code == 1
    assert "data.cache=disk needs 1 MB in" in outcome.err


def test_a_file_of_parts_is_read_where_it_was_typed_and_not_again_once_the_split_stands(
    cli: Cli, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"train/{path.name}" for path in sorted((drawn / "train").iterdir())]
    rows = [f"{name},{'val' if name in names[:2] else 'train'}" for name in names[:4]]
    monkeypatch.chdir(tmp_path)
    parts = tmp_path / "parts.csv"
    parts.write_text("\n".join(["id,part", *rows]) + "\n")
    words = (f"data.root={drawn}", "data.split_file=parts.csv", f"hydra.run.dir={tmp_path / 'run'}")
    outcome = cli("train.py", *FAST, *words)
    assert outcome.code == 0, outcome.err
    assert f"split_file: {parts}" in (tmp_path / "run/config.yaml").read_text()
    split = (tmp_path / "run/splits.csv").read_text()
    assert [",".join(row.split(",")[::2]) for row in split.splitlines()[1:]] == rows

    again = tmp_path / "again"
    again.mkdir()
    for name in ("config.yaml", "splits.csv"):
        shutil.copy(tmp_path / "run" / name, again)
    parts.unlink()
    outcome = cli("segfield", "execute", again)
    assert outcome.code == 0, outcome.err
    assert (again / "splits.csv").read_text() == split
