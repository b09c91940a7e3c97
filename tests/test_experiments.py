"""What is kept under experiments/: it names no machine, and it is reproduced."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from segfield.run.placement import KEYS, leaves
from segfield.run.whitelist import allowed

PROJECT = Path(__file__).resolve().parents[1]
KEPT = sorted(path.parent for path in (PROJECT / "experiments").glob("*/*/config.yaml"))


def test_there_is_a_kept_run() -> None:
    assert PROJECT / "experiments/repeatability/baseline" in KEPT


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_a_kept_run_holds_placement_as_null_and_only_listed_classes(folder: Path) -> None:
    values = dict(leaves(yaml.safe_load((folder / "config.yaml").read_text())))
    assert {key: values[key] for key in KEYS if values.get(key) is not None} == {}
    assert {value for key, value in values.items() if key.endswith("_target_")} <= set(allowed())


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_a_kept_run_is_small_and_names_neither_host_nor_path(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
    for path in folder.iterdir():
        assert path.suffix in {".yaml", ".csv", ".sha256"}
        assert not re.search(r"(?m)(?:^|[\s'\",:=])(?:/|[A-Z]:\\)\w", path.read_text()), path
    for entry in yaml.safe_load((folder / "environment.yaml").read_text()):
        assert not {"host", "command", "untracked"} & entry.keys()


def segfield(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_study_trains_repeats_bit_for_bit_and_agrees_with_the_committed_scores(tmp_path: Path) -> None:
    place = {"SEGFIELD_OUTPUTS": str(tmp_path)}
    run = tmp_path / "run"
    trained = segfield("train.py", "experiment=repeatability", "threads=1", f"hydra.run.dir={run}", **place)
    assert trained.returncode == 0, trained.stderr
    repeated = segfield("-m", "segfield", "reproduce", run, **place)
    assert repeated.returncode == 0, repeated.stderr
    assert repeated.stdout.startswith("verdict: bit-equal"), repeated.stdout
    kept = segfield("-m", "segfield", "reproduce", "experiments/repeatability/baseline", **place)
    assert kept.returncode == 0, kept.stdout + kept.stderr
    assert kept.stdout.startswith(("verdict: bit-equal", "verdict: equal within tolerance")), kept.stdout
