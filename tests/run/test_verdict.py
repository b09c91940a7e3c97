"""Verdicts on hand-written folders; tests/commands/test_reproduce.py runs real ones."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from segfield.run import verdict
from segfield.run.verdict import NotComparableError, evidence

Make = Callable[..., Path]
ENVIRONMENT: dict[str, Any] = {
    "code_sha256": "c0de",
    "commit": "a1",
    "patch": None,
    "python": "3.11.7",
    "packages": {"torch": "2.15.0"},
    "devices": ["cpu"],
    "processor": {"capability": "AVX512"},
    "placement": {"threads": 2, "trainer.devices": 1},
    "splits_sha256": hashlib.sha256(b"id,group,part\n").hexdigest(),
}


def compare(one: Path, other: Path, changed: dict[str, tuple[Any, Any]], tolerance: float) -> dict[str, Any]:
    return verdict.compare(evidence(one), evidence(other), changed, tolerance)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a finished run's files: make(name, losses, dice, weights, environment=..., data=...)."""

    def write(
        name: str,
        losses: tuple[str, ...] = ("0.5", "0.25"),
        dice: str = "0.9",
        weights: str = "a",
        environment: dict[str, Any] | None = None,
        data: str = "1.png,1.png,10,ab",
        clock: str = "3",
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        rows = [f"{step // 2},{step},{loss}" for step, loss in enumerate(losses)]
        (folder / "trace.csv").write_text("\n".join(["epoch,step,loss", *rows]) + "\n")
        (folder / "metrics.csv").write_text(f"epoch,step,val/dice,train/loss,time/step\n0,1,{dice},0.4,{clock}\n")
        (folder / "weights.sha256").write_text(
            f"{weights * 64}  weights\n{'b' * 64}  optimizer\n{'c' * 64}  scheduler\n"
        )
        (folder / "splits.csv").write_text("id,group,part\n")
        (folder / "environment.yaml").write_text(yaml.safe_dump([{**ENVIRONMENT, **(environment or {})}]))
        (folder / "data.csv").write_text(f"id,file,bytes,sha256\n{data}\n")
        return folder

    return write


def test_equal_losses_scores_and_digests_are_bit_equal_whatever_the_clock_says(make: Make) -> None:
    found = compare(make("one"), make("other", clock="4"), {}, 0.01)
    assert found["verdict"] == "bit-equal"
    assert (found["drifted"], found["drifted_data"], found["first_difference"]) == ({}, [], None)


def test_the_first_step_that_differs_is_named_with_both_losses(make: Make) -> None:
    found = compare(make("one"), make("other", losses=("0.5", "0.26"), dice="0.8"), {}, 0.01)
    assert found["verdict"] == "differs"
    assert found["text"] == "differs from epoch 0, step 1: 0.25 against 0.26"


@pytest.mark.parametrize(("one", "other", "who"), [(2, 3, "the parent"), (3, 2, "the rerun")])
def test_a_trace_that_ends_earlier_differs(make: Make, one: int, other: int, who: str) -> None:
    losses = ("0.5", "0.25", "0.125")
    found = compare(make("one", losses=losses[:one]), make("other", losses=losses[:other]), {}, 0.01)
    assert found["text"] == f"differs from epoch 1, step 2: {who} ends before it"


def test_a_score_that_differs_after_equal_losses_is_named(make: Make) -> None:
    found = compare(make("one"), make("other", dice="0.9001"), {}, 0.01)
    assert found["text"] == "differs from epoch 0, val/dice: 0.9 against 0.9001"


def test_weights_that_differ_after_equal_losses_and_scores_differ(make: Make) -> None:
    found = compare(make("one"), make("other", weights="c"), {}, 0.01)
    assert found["verdict"] == "differs"
    assert found["text"] == f"differs from the end, sha256 of weights: {'a' * 64} against {'c' * 64}"


@pytest.mark.parametrize(
    ("changes", "name", "values"),
    [
        ({"placement": {"threads": 1, "trainer.devices": 1}}, "threads", {"parent": 2, "run": 1}),
        ({"packages": {"torch": "2.11.0"}}, "torch", {"parent": "2.15.0", "run": "2.11.0"}),
        ({"processor": {"capability": "AVX2"}}, "processor capability", {"parent": "AVX512", "run": "AVX2"}),
        ({"devices": ["H200"]}, "devices", {"parent": ["cpu"], "run": ["H200"]}),
        ({"code_sha256": "beef"}, "code", {"parent": "c0de", "run": "beef"}),
        ({"python": "3.12.1"}, "python", {"parent": "3.11.7", "run": "3.12.1"}),
    ],
)
def test_what_drifted_is_named_and_final_scores_decide(
    make: Make, changes: dict[str, Any], name: str, values: dict[str, Any]
) -> None:
    one = make("one")
    near = compare(one, make("near", losses=("0.5", "0.26"), dice="0.905", environment=changes), {}, 0.01)
    assert near["verdict"] == "equal within tolerance"
    assert near["text"] == "every final validation score is within 0.01"
    assert near["drifted"] == {name: values}
    assert near["first_difference"] == "epoch 0, step 1: 0.25 against 0.26"
    far = compare(one, make("far", dice="0.88", environment=changes), {}, 0.01)
    assert far["verdict"] == "differs"
    assert far["text"] == "differs in the final val/dice: 0.9 against 0.88, more than 0.01 apart"


def test_a_drift_that_moved_no_bit_is_bit_equal_and_named(make: Make) -> None:
    found = compare(make("one"), make("other", environment={"python": "3.12.1"}), {}, 0.01)
    assert found["verdict"] == "bit-equal"
    assert list(found["drifted"]) == ["python"]


def test_another_commit_with_the_same_source_excuses_nothing(make: Make) -> None:
    found = compare(make("one"), make("other", dice="0.9001", environment={"commit": "b2", "patch": "p"}), {}, 0.01)
    assert found["verdict"] == "differs"
    assert set(found["drifted"]) == {"commit", "uncommitted changes"}


def test_a_data_file_that_changed_is_named_and_final_scores_decide(make: Make) -> None:
    found = compare(make("one"), make("other", dice="0.905", data="1.png,1.png,10,cd"), {}, 0.01)
    assert found["verdict"] == "equal within tolerance"
    assert found["drifted_data"] == ["changed: 1.png"]


def test_changed_keys_are_named_and_only_final_scores_are_compared(make: Make) -> None:
    changed = {"optimizer.lr": (0.1, 0.2)}
    found = compare(make("one"), make("other", losses=("1", "2")), changed, 0.01)
    assert found["verdict"] == "equal within tolerance"
    assert found["first_difference"] is None
    assert found["changed"] == {"optimizer.lr": {"parent": 0.1, "run": 0.2}}


@pytest.mark.parametrize(
    ("dice", "other", "verdict"),
    [("nan", "nan", "equal within tolerance"), ("nan", "0.5", "differs"), ("0.5", "nan", "differs")],
)
def test_a_score_that_is_no_number_equals_only_its_like(make: Make, dice: str, other: str, verdict: str) -> None:
    drift = {"python": "3.12.1"}
    found = compare(make("one", dice=dice, weights="e"), make("other", dice=other, environment=drift), {}, 0.01)
    assert found["verdict"] == verdict


@pytest.mark.parametrize("name", ["trace.csv", "metrics.csv"])
def test_a_run_without_its_end_is_not_comparable(make: Make, name: str) -> None:
    one = make("one")
    (one / name).unlink()
    with pytest.raises(NotComparableError, match=rf"has no {name}: it has not ended, or its callbacks\.\w+ was"):
        evidence(one)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("trace.csv", "epoch,step,loss\n0,0,0.5\n0,2,0.25\n", "its row of step 1 is missing or broken"),
        ("trace.csv", "epoch,step,loss\n0,0,\n", "its row of step 0 is missing or broken"),
        ("trace.csv", "a,b\n1,2\n", "expected the columns epoch,step,loss"),
        ("trace.csv", "epoch,step,loss\n", "it has no row, or a broken one"),
        ("metrics.csv", "epoch,step,val/dice\n0,1\n", "it has no row, or a broken one"),
        ("weights.sha256", "aa  weights\n", "expected the sha256 of weights, optimizer, scheduler"),
        ("weights.sha256", "", "expected the sha256 of weights, optimizer, scheduler"),
        ("splits.csv", "id,group,part\n1,1,val\n", "its sha256 is not the one in environment.yaml"),
        ("environment.yaml", "- placement: x\n", "expected a list with an entry per execution"),
        ("environment.yaml", "- when: 2026-99-99\n", "expected a list with an entry per execution"),
    ],
)
def test_a_damaged_file_is_named_and_left_as_it_is(make: Make, name: str, content: str, what: str) -> None:
    one = make("one")
    (one / name).write_text(content)
    with pytest.raises(NotComparableError, match=rf"{name} is damaged: {what}"):
        evidence(one)
    assert (one / name).read_text() == content


@pytest.mark.parametrize("name", ["trace.csv", "metrics.csv", "data.csv"])
def test_bytes_that_are_no_text_are_named(make: Make, name: str) -> None:
    one = make("one")
    (one / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NotComparableError, match=name):
        evidence(one)


def test_runs_that_may_differ_need_a_score_in_common(make: Make) -> None:
    one, other = make("one"), make("other", environment={"python": "3.12.1"})
    (one / "metrics.csv").write_text("epoch,step,val/iou\n0,1,0.5\n")
    with pytest.raises(NotComparableError, match="no final validation score in common"):
        compare(one, other, {}, 0.01)


def test_equal_runs_without_any_validation_are_bit_equal(make: Make) -> None:
    folders = make("one"), make("other")
    for folder in folders:
        (folder / "metrics.csv").write_text("epoch,step,train/loss\n0,1,0.5\n")
    assert compare(*folders, {}, 0.01)["verdict"] == "bit-equal"


def test_the_last_validation_counts_where_the_last_epoch_has_none(make: Make) -> None:
    folders = make("one"), make("other")
    for folder in folders:
        (folder / "metrics.csv").write_text("epoch,step,val/dice\n0,1,0.5\n1,3,\n")
    assert compare(*folders, {}, 0.01)["final"] == {"val/dice": {"parent": 0.5, "run": 0.5}}


def test_data_that_was_not_recorded_is_said(make: Make) -> None:
    one, other = make("one"), make("other")
    (one / "data.csv").unlink()
    found = compare(one, other, {}, 0.01)
    assert found["drifted_data"] == [f"not compared: {one / 'data.csv'} is missing"]
