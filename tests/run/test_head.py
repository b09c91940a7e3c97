"""The head as a part of a run: composed, checked, frozen; and runs that are older than heads."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from segfield.run.build import build
from segfield.run.freeze import freeze, load
from segfield.run.placement import difference, located
from segfield.run.trial import Errors, try_scores

Cli = Callable[..., Any]
TINY = ("debug=fast", "data.length=10", "threads=1", "model.width=4", "model.depth=1")
OLD = Path(__file__).resolve().parents[2] / "experiments" / "repeatability" / "baseline"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["head=plain", "head.scale=-1"], r"head=plain needs scale > 0; got -1.* Use head\.scale="),
        (["head=residual"], r".*data\.density_scale"),
        (
            ["+head._target_=torch.nn.ReLU"],
            r"head: ReLU cannot be called as \(logits, valid, image\): .*Use head=resid",
        ),
        (
            ["data=blobs_shapes", "head=plain", "head.scale=1.0"],
            r"head: Plain needs logits .*got \[1, 3, .*'head=\[\]' for cl",
        ),
        (
            ["task=density", "head=[]", "loss=kl"],
            r"loss, .*: KL needs a target \[N, 5, H, W\].* Use data=ocean_density, or",
        ),
        (["metrics=density"], r"metrics, .*: DensityRMSE needs .* Use data=ocean_density, or metrics=binary"),
    ],
)
def test_a_head_that_does_not_fit_is_refused_before_the_run(cli: Cli, words: list[str], message: str) -> None:
    outcome = cli("segfield", "check", *TINY, *words)
    assert outcome.code == 2, outcome.err
    assert re.search(f"^- {message}", outcome.err, re.MULTILINE), outcome.err


class Halved(nn.Module):
    def forward(self, logits: torch.Tensor, valid: Any, image: Any) -> torch.Tensor:
        return logits[..., ::2]


class Named(nn.Module):
    def forward(self, logits: torch.Tensor, valid: Any, image: Any) -> list[str]:
        return ["density"]


@pytest.mark.parametrize(("head", "found"), [(Halved(), r"\[1, 1, 16, 8\]"), (Named(), "list")])
def test_a_head_that_changes_the_shape_is_refused(head: nn.Module, found: str) -> None:
    task = build(located(load(OLD))).task
    task.head, errors = head, Errors()
    item = {"image": torch.zeros(3, 16, 16), "target": torch.zeros(16, 16), "id": "a", "group": "a", "index": 0}
    try_scores(task, item, torch.zeros(1, 1, 16, 16), errors)
    (error,) = errors
    assert re.match(rf"head: {type(head).__name__} must keep the shape .*\[1, 1, 16, 16\]; it gives {found}\. ", error)


def test_a_run_that_is_older_than_heads_is_read_and_built_without_one() -> None:
    config = load(OLD)
    assert "head" not in config
    assert build(located(config)).task.head is None


def test_head_null_is_no_difference_to_a_run_that_is_older_than_heads(tmp_path: Path) -> None:
    config = load(OLD)
    assert difference(config, {**config, "head": None}) == {}
    freeze(config, tmp_path)
    before = (tmp_path / "config.yaml").read_bytes()
    freeze({**config, "head": None}, tmp_path)
    assert (tmp_path / "config.yaml").read_bytes() == before
    head = {"_target_": "segfield.heads.Plain", "scale": 1.0}
    with pytest.raises(ValueError, match=r"head\._target_: None there, 'segfield\.heads\.Plain' now"):
        freeze({**config, "head": head}, tmp_path)


@pytest.mark.slow
def test_a_run_that_is_older_than_heads_is_reproduced(cli: Cli, only_run: Callable[[], Path]) -> None:
    assert cli("train.py", *TINY).code == 0
    path = only_run() / "config.yaml"
    config = yaml.safe_load(path.read_text())
    assert config.pop("head") is None
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = cli("segfield", "reproduce", path.parent)
    assert outcome.code == 0, outcome.err
    assert "verdict: bit-equal" in outcome.out
