"""Run folders without a run: a real frozen config, a few keys changed, and a status."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KEPT = Path(__file__).resolve().parents[2] / "experiments/repeatability/baseline"
MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Make a run folder: make_run("a_b/<time>", {"lr: 0.001": "lr: 0.1"}, options={"model": "unet"}, epoch=3)."""
    text = (KEPT / "config.yaml").read_text()

    def make(
        name: str, changes: dict[str, str] | None = None, options: dict[str, str] | None = None, **status: Any
    ) -> Path:
        folder = tmp_path / "outputs" / name
        folder.mkdir(parents=True)
        config = text
        for old, new in (changes or {}).items():
            assert old in config
            config = config.replace(old, new)
        (folder / "config.yaml").write_text(config)
        if options:
            lines = "".join(f"      {group}: {option}\n" for group, option in options.items())
            (folder / ".hydra").mkdir()
            (folder / ".hydra/hydra.yaml").write_text(f"hydra:\n  runtime:\n    choices:\n{lines}  verbose: false\n")
        if status:
            (folder / "status.json").write_text(json.dumps({"state": "finished", **status}))
        return folder

    return make
