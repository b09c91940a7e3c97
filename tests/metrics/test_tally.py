"""The scores of an evaluation: sums by group, and intervals over groups."""

from typing import Any

import numpy as np
import pytest
import torch

from segfield.metrics.tally import RESAMPLES, SEED, Tally


def filled(groups: int, images: int = 3, classes: tuple[str, ...] = ("foreground",)) -> Tally:
    tally, rng = Tally(classes), np.random.default_rng(1)
    for image in range(groups * images):
        hits, more, missed = rng.integers(0, 50, (3, len(classes)))
        tally.add(f"group {image % groups}", torch.tensor(np.stack([hits, hits + more, hits + missed])))
    return tally


def test_intervals_are_percentiles_over_resampled_groups() -> None:
    tally = filled(7)
    rows = list(tally.groups())
    counts = np.stack([counts[:, 0].numpy() for _, _, counts, _ in rows])
    dice = 2 * counts[:, 0] / (counts[:, 1] + counts[:, 2])
    scores = tally.scores()
    drawn = np.random.default_rng(SEED).integers(0, 7, (RESAMPLES, 7))
    hits, predicted, true = counts[drawn].sum(1).T
    expected = {
        "dice": np.array([mean for *_, mean in rows])[drawn].mean(1),  # groups have as many images each
        "dice_group": dice[drawn].mean(1),
        "dice_set": 2 * hits / (predicted + true),
        "iou_set": hits / (predicted + true - hits),
    }
    assert list(scores) == list(expected)
    for name, values in expected.items():
        low, high = np.percentile(values, [2.5, 97.5])
        found: dict[str, Any] = scores[name]
        assert found["low"] == pytest.approx(low, abs=0.01)
        assert found["high"] == pytest.approx(high, abs=0.01)
        assert found["low"] < found["value"] < found["high"]
    assert filled(7).scores() == scores


def test_many_groups_are_resampled_in_portions_with_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = filled(6, classes=("a", "b")).scores()
    monkeypatch.setattr("segfield.metrics.tally._AT_ONCE", 30_000)
    again = filled(6, classes=("a", "b")).scores()
    assert list(again) == ["dice", "dice_group", "dice_set", "iou_set", "dice_a", "dice_b", "iou_a", "iou_b"]
    for name, score in scores.items():
        assert again[name]["value"] == score["value"]
        assert again[name]["low"] == pytest.approx(score["low"], abs=0.01)


@pytest.mark.parametrize("classes", [("foreground",), ("a", "b")])
def test_one_group_has_no_interval(classes: tuple[str, ...]) -> None:
    scores = filled(1, classes=classes).scores()
    assert all(score["low"] is None and score["high"] is None for score in scores.values())
    assert 0 < (scores["dice"]["value"] or 0) < 1


def test_groups_where_all_is_empty_count_1_in_the_means_and_nothing_in_the_set() -> None:
    tally = Tally(("foreground",))
    tally.add("empty", torch.tensor([[0], [0], [0]]))
    tally.add("other", torch.tensor([[0], [4], [0]]))
    scores = {name: score["value"] for name, score in tally.scores().items()}
    assert scores == {"dice": 0.5, "dice_group": 0.5, "dice_set": 0.0, "iou_set": 0.0}
