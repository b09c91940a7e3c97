"""Scores of densities: against slow and obvious NumPy, and on maps whose scores anybody can tell."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segfield.densities import CURRENT, EAST, MEAN, NEXT, NORTH
from segfield.metrics.density import KINDS, SOURCES, CentreDistance, DensityScores, MassError, RegionIoU50
from segfield.metrics.samples import SCORES, add_up, region_thresholds, score_samples
from segfield.metrics.states import gather, take_up

from .density import FLOOR, KM, blob, region_of, scores_of, some_samples, target_of

Ranks = Callable[..., list[Any]]
NAMES = {f"{name}{end}" for name in SCORES for end in ("", "_persistence", "_mean")}


def scores(density: Tensor, truth: Tensor, valid: Tensor | None = None) -> dict[str, float]:
    """Score densities [N, H, W], all baselines equal to the truth."""
    metrics = DensityScores()
    metrics.update(density[:, None], target_of(truth, truth, truth), valid, ["a"] * len(truth))
    return {name: float(value) for name, value in metrics.compute().items()}


def test_every_score_of_prediction_and_baselines_is_what_numpy_finds() -> None:
    density, target, valid, groups = some_samples()
    metrics, expected = DensityScores(FLOOR), dict[str, list[float]]()
    metrics.update(density, target, valid, groups)
    for i in range(len(density)):
        inside = valid[i, 0]
        truth, east, north = (target[i, channel][inside].numpy() for channel in (NEXT, EAST, NORTH))
        each = {"": density[i, 0], "_persistence": target[i, CURRENT], "_mean": target[i, MEAN]}
        for end, one in each.items():
            for name, value in scores_of(one[inside].numpy(), truth, east, north).items():
                expected.setdefault(f"{name}{end}", []).append(value)
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert found.keys() == expected.keys() == NAMES
    assert found == {name: pytest.approx(np.mean(values), rel=1e-5, abs=1e-7) for name, values in expected.items()}
    assert [len(expected[name]) for name in ("rmse", "kl", "distance_km")] == [10, 9, 8]


def test_a_perfect_prediction_scores_best() -> None:
    truth = torch.stack([blob(8, 9, 2), blob(14, 6, 3)])
    found = scores(truth, truth)
    best = {"rmse": 0, "kl": 0, "mass_error": 0, "iou_50": 1, "iou_90": 1, "distance_km": 0}
    assert {name: found[name] for name in best} == pytest.approx(best, abs=1e-5)  # kl: of the floor


def test_regions_of_two_blobs_apart_have_an_iou_of_0() -> None:
    found = scores(blob(4, 4, 1.0)[None], blob(18, 15, 1.0)[None])
    assert (found["iou_50"], found["iou_90"]) == (0, 0)


@pytest.mark.parametrize("step", [(1, 0), (0, 1), (2, 1)])
def test_a_map_that_is_shifted_by_cells_is_as_many_kilometres_away(step: tuple[int, int]) -> None:
    truth = blob(11, 9, 1.0)
    found = scores(truth.roll(step, (1, 0))[None], truth[None])
    assert found["distance_km"] == pytest.approx(math.hypot(step[0] * KM[0], step[1] * KM[1]), rel=1e-4)
    assert found["mass_error"] == pytest.approx(0, abs=1e-6)


def test_half_of_a_flat_map_is_all_of_it_since_ties_belong_together() -> None:
    flat = torch.full((1, 20, 24), 1 / 480)
    some = flat.clone()
    some[:, :10] = 0
    assert scores(some, flat)["iou_50"] == 0.5


def test_the_region_of_a_ramp_ends_where_the_share_is_held() -> None:
    ramp = torch.arange(1.0, 5.0)  # of 10: 4 are 40 %, 4 + 3 are 70 %, 4 + 3 + 2 are 90 %
    half, most = region_thresholds(ramp[None] / 10)
    assert half.tolist() == pytest.approx([0.3])
    assert most.tolist() == pytest.approx([0.2])


@pytest.mark.parametrize("particles", [7, 200, 2000, 65535])
def test_thresholds_are_those_that_a_sort_in_exact_arithmetic_finds(particles: int) -> None:
    rng = np.random.default_rng(particles)
    density = rng.multinomial(particles, rng.dirichlet(np.full(150, 0.2)), size=20).astype(np.float32) / particles
    density = np.concatenate((density, rng.random((20, 150), dtype=np.float32) ** 9))
    for percent, found in zip((50, 90), region_thresholds(torch.from_numpy(density)), strict=True):
        for one, threshold in zip(density, found.tolist(), strict=True):
            assert np.array_equal(one >= threshold, region_of(one, percent))


def test_a_share_that_a_region_holds_to_the_particle_ends_it_there() -> None:
    counts = torch.tensor([[1000.0, 800.0, 200.0, 0.0], [700.0, 300.0, 999.0, 1.0]])
    half, most = region_thresholds(counts / 2000)
    assert (half * 2000).round().tolist() == [1000, 700]
    assert (most * 2000).round().tolist() == [800, 300]


def test_a_negative_density_is_no_mass_of_a_region_nor_of_its_centre() -> None:
    truth = blob(11, 9, 1.0)[None]
    density = truth.clone()
    density[:, :3] = -5.0
    found = scores(density, truth)
    assert found["iou_50"] == 1
    assert found["distance_km"] == pytest.approx(0, abs=1e-4)
    assert found["mass_error"] == pytest.approx(5 * 3 * 24, rel=1e-5)


def test_without_mass_the_regions_are_empty_and_the_centre_is_not_counted() -> None:
    truth, nothing = blob(11, 9, 1.0), torch.zeros(20, 24)
    both = scores(nothing[None], nothing[None])
    assert (both["iou_50"], both["iou_90"], both["rmse"]) == (1, 1, 0)
    assert math.isnan(both["distance_km"])
    assert math.isnan(both["kl"])
    for one in (scores(nothing[None], truth[None]), scores(truth[None], nothing[None])):
        assert (one["iou_50"], one["iou_90"]) == (0, 0)
        assert math.isnan(one["distance_km"])


@pytest.mark.parametrize("other", [math.nan, math.inf, 1e30])
def test_what_stands_outside_changes_no_score(other: float) -> None:
    density, target, valid, _ = some_samples()
    clean = score_samples(density, target, valid)
    density[~valid] = other
    target = torch.where(valid, target, other)
    values, counts = score_samples(density, target, valid)
    assert torch.equal(values[counts], clean[0][counts])
    assert torch.equal(counts, clean[1])


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_scores_of_a_prediction_that_is_not_finite_are_nan_and_those_of_baselines_stay(broken: float) -> None:
    density, target, valid, groups = some_samples()
    density[5, 0, 9, 10], valid[5, 0, 9, 10] = broken, True
    metrics, sound = DensityScores(), DensityScores()
    metrics.update(density, target, valid, groups)
    sound.update(some_samples()[0], target, valid, groups)
    found = metrics.compute()
    known = {name for name in NAMES if name.endswith(("_persistence", "_mean"))}
    assert {name: found[name] for name in known} == {name: sound.compute()[name] for name in known}
    assert [found[name].isnan().item() for name in ("rmse", "mass_error")] == [True, True]


@pytest.mark.parametrize("cut", [[1] * 11, [4, 7], [10, 1]])
@pytest.mark.parametrize("threads", [1, 2])
def test_scores_do_not_depend_on_batches_nor_on_threads(ranks: Ranks, cut: list[int], threads: int) -> None:
    arrays = some_samples()
    whole = DensityScores()
    whole.update(*arrays)

    def work() -> dict[str, float]:
        torch.set_num_threads(threads)
        parts = DensityScores()
        for batch in zip(*(torch.split(array, cut) for array in arrays[:3]), strict=True):
            parts.update(*batch, ["a"] * len(batch[0]))
        return {name: value.item() for name, value in parts.compute().items()}

    # In a process of its own: after two threads in this one, a fork of it would wait for ever (libgomp).
    assert ranks(1, work) == [{name: value.item() for name, value in whole.compute().items()}]


def test_scores_go_on_from_what_was_gathered_after_a_checkpoint(tmp_path: Path) -> None:
    density, target, valid, groups = some_samples()
    whole, first, second = DensityScores(), DensityScores(), DensityScores()
    whole.update(density, target, valid, groups)
    first.update(density[:4], target[:4], valid[:4], groups[:4])
    torch.save(gather(dict(first.items(copy_state=False))), tmp_path / "states.pt")
    saved = torch.load(tmp_path / "states.pt", weights_only=True)
    take_up(dict(second.items(copy_state=False)), saved)
    second.update(density[4:], target[4:], valid[4:], groups[4:])
    assert second.compute() == whole.compute()
    for metric in whole.values(copy_state=False):
        assert metric.sums.abs().max() < 2**63 / 2**20 * len(density), "there is room for a million samples"


def test_a_batch_is_looked_at_once_for_all_scores() -> None:
    metrics = DensityScores().clone(prefix="val/")
    assert len(metrics.compute_groups) == 1
    assert set(metrics.keys()) == {f"val/{name}" for name in NAMES}
    assert [kind.name for kind in KINDS] == list(SCORES)
    assert {kind.name for kind in KINDS if kind.higher_is_better} == {"iou_50", "iou_90"}


def test_a_score_by_itself_is_that_of_the_collection() -> None:
    arrays, metrics = some_samples(), DensityScores()
    metrics.update(*arrays)
    for kind, source in ((RegionIoU50, SOURCES[1]), (MassError, SOURCES[2]), (CentreDistance, SOURCES[0])):
        metric = kind(source)
        metric.update(*arrays)
        assert metric.compute() == metrics.compute()[kind.name + ("" if source == SOURCES[0] else f"_{source}")]


def test_sums_of_cells_are_right_and_keep_their_bits_in_other_company() -> None:
    values = torch.rand(5, 4, 337)
    torch.testing.assert_close(add_up(values), values.sum(-1))
    assert torch.equal(add_up(values)[2, 1], add_up(values[2, 1]))


def test_shapes_that_do_not_fit_are_refused_with_the_fix() -> None:
    density, target, valid, groups = some_samples()
    with pytest.raises(
        ValueError, match=r"DensityRMSE needs densities .* got densities \[11, 5, 20, 24\] .*data=ocean_"
    ):
        DensityScores().update(target, target, valid, groups)
    with pytest.raises(
        ValueError, match=r"target \[N, 5, H, W\].* and target \[11, 20, 24\].*metrics=binary for classes"
    ):
        DensityScores().update(density, target[:, 0], valid, groups)
    with pytest.raises(ValueError, match=r"needs valid .*got valid \[11, 20, 24\] .* Crop or pad it like the target"):
        DensityScores().update(density, target, valid[:, 0], groups)


@pytest.mark.parametrize("floor", [0.0, -1.0, 1.0, math.nan])
def test_a_floor_that_is_no_probability_is_refused(floor: float) -> None:
    with pytest.raises(ValueError, match=r"metrics\.floor is above 0 and below 1, .* Use metrics\.floor=1e-07"):
        DensityScores(floor)
