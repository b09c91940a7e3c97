from typing import Any

import numpy as np
import pytest
import torch

from segfield.figures import canvas, rollout
from segfield.figures.canvas import Box, Canvas, Scale
from segfield.figures.density import Input, density_panel, extent_of, region_of
from segfield.metrics.samples import region_thresholds

ROWS, COLUMNS = 16, 20
GREY = (166, 166, 166)  # land
Recorded = list[tuple[Box, Scale, np.ndarray]]


@pytest.fixture
def maps(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Where each map is drawn, on which scale, and its values."""
    found: Recorded = []
    real = Canvas.map

    def record(self: Canvas, box: Box, values: Any, valid: Any, scale: Scale, extent: Any) -> Any:
        found.append((box, scale, values))
        return real(self, box, values, valid, scale, extent)

    monkeypatch.setattr(Canvas, "map", record)
    return found


def cloud(row: float, column: float, width: float = 1.5) -> np.ndarray:
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    density = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))
    return density / density.sum()


def inside(picture: np.ndarray, box: Box) -> np.ndarray:
    """The pixels of a map without its frame."""
    left, top = round(box.left), round(box.top)
    return picture[top + 2 : top + round(box.height) - 2, left + 2 : left + round(box.width) - 2]


def colours(pixels: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, pixels.reshape(-1, 3).tolist()))


def test_the_same_density_has_the_same_colours_in_all_three_maps_and_no_difference(maps: Recorded) -> None:
    density = cloud(8, 10)
    picture = density_panel([], density, density, density)
    current, truth, prediction, difference = (inside(picture, box) for box, _, _ in maps)
    assert len({scale for _, scale, _ in maps[:3]}) == 1
    for other in (truth, prediction):
        assert (other == current).all(2).mean() > 0.9  # all but the outlines
    values, counts = np.unique(difference.reshape(-1, 3), axis=0, return_counts=True)
    assert counts.max() > 0.9 * counts.sum()
    assert values[counts.argmax()].tolist() == [247, 246, 246]  # white, as near as the colour map comes


def test_the_difference_has_as_much_room_for_too_little_as_for_too_much(maps: Recorded) -> None:
    density_panel([], cloud(8, 10), cloud(8, 10), cloud(8, 12))
    scale, values = maps[3][1:]
    assert scale.low == -scale.high < 0
    assert scale.high == pytest.approx(np.nanmax(np.abs(values)))
    assert scale.colours == canvas.SIGNED


def test_the_scale_of_the_densities_is_that_of_the_truth_however_wild_the_prediction(maps: Recorded) -> None:
    truth = cloud(8, 10)
    density_panel([], 0.5 * truth, truth, 100 * truth)
    assert {scale.high for _, scale, _ in maps[:3]} == {100 * truth.max()}


def test_land_is_grey_in_every_map_and_nothing_else_is(maps: Recorded) -> None:
    valid = np.ones((ROWS, COLUMNS), dtype=np.bool_)
    valid[:, :10] = False
    fields = [Input("u", np.full(valid.shape, np.nan), "m/s", signed=True), Input("ssh", cloud(4, 5), "m")]
    picture = density_panel(fields, cloud(8, 13), cloud(8, 13), cloud(8, 13), valid=valid)
    assert len(maps) == 6
    for box, _, _ in maps:
        assert GREY in colours(inside(picture, box))
    shown = density_panel(fields[1:], cloud(8, 13), cloud(8, 13), cloud(8, 13))
    for box, _, _ in maps[6:]:
        assert GREY not in colours(inside(shown, box))


def test_inputs_have_scales_of_their_own_with_white_in_the_middle_of_velocities(maps: Recorded) -> None:
    u = np.linspace(-0.1, 0.4, ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    density_panel([Input("u", u, "m/s", signed=True), Input("sst", 20 + u, "degC")], *[cloud(8, 10)] * 3)
    assert maps[0][1] == Scale(canvas.SIGNED, -0.4, 0.4)
    assert maps[1][1] == Scale(canvas.AMOUNT, pytest.approx(19.9), pytest.approx(20.4))


@pytest.mark.parametrize("name", [canvas.AMOUNT, canvas.SIGNED])
def test_colours_can_be_told_apart_in_grey(name: str) -> None:
    import matplotlib as mpl

    light = mpl.colormaps[name](np.linspace(0, 1, 64))[:, :3] @ np.array([0.299, 0.587, 0.114])
    steps = np.diff(light if name == canvas.AMOUNT else light[:32])
    assert (steps > 0).all()


def test_the_same_arrays_give_the_same_bits_whatever_a_user_has_set() -> None:
    import matplotlib as mpl

    arrays = [Input("ssh", cloud(3, 3), "m")], cloud(8, 10), cloud(8, 11), cloud(8, 12)
    first = density_panel(*arrays, title="00012/03")
    with mpl.rc_context({"font.size": 20, "image.cmap": "jet", "axes.facecolor": "red"}):
        assert np.array_equal(density_panel(*arrays, title="00012/03"), first)
    assert first.dtype == np.uint8
    assert first.shape[0] == 256


def test_maps_have_the_proportions_of_the_sea_in_km(maps: Recorded) -> None:
    east, north = (grid * side for grid, side in zip(np.mgrid[:COLUMNS, :ROWS], (1.8, 2.3), strict=True))
    density_panel([], *[cloud(8, 10)] * 3, east=east.T, north=north.T, height=400)
    box = maps[0][0]
    assert box.width / box.height == pytest.approx(COLUMNS * 1.8 / (ROWS * 2.3), rel=0.01)
    assert extent_of((ROWS, COLUMNS), east.T, north.T)[0] == pytest.approx((-0.9, 35.1, -1.15, 35.65))


def test_the_region_of_half_the_mass_is_the_smallest_one() -> None:
    density = np.array([[0.4, 0.3, 0.2], [0.1, 0.0, 0.0]])
    everywhere = np.ones_like(density, dtype=np.bool_)
    assert region_of(density, everywhere, 0.4).tolist() == [[True, False, False], [False] * 3]
    assert region_of(density, everywhere, 0.5).tolist() == [[True, True, False], [False] * 3]
    assert region_of(density, density < 0.4, 0.5).tolist() == [[False, True, False], [False] * 3]
    assert not region_of(0 * density, everywhere).any()
    drawn = np.random.default_rng(0).poisson(2.0, (9, ROWS, COLUMNS)).astype(np.float32) / 2000
    (half, _) = region_thresholds(torch.from_numpy(drawn).flatten(1))
    for counts, threshold in zip(drawn, half.tolist(), strict=True):
        assert np.array_equal(region_of(counts, counts >= 0), counts >= np.float32(threshold))


def test_maps_of_different_regions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got prediction \[16, 19\] beside current \[16, 20\]\. Crop all of them"):
        density_panel([], cloud(1, 1), cloud(1, 1), cloud(1, 1)[:, 1:])
    with pytest.raises(ValueError, match=r"a height of at least 120 pixels; got 64\. Use height=256"):
        density_panel([], *[cloud(1, 1)] * 3, height=64)


def test_a_strip_has_evenly_spaced_lead_times_up_to_the_last_on_one_scale(maps: Recorded) -> None:
    truths = np.stack([cloud(8, 5 + step, 1.5 + 0.2 * step) for step in range(12)])
    hours = [6.0 * (step + 1) for step in range(12)]
    picture = rollout.strip(truths, truths, hours, columns=4)
    assert picture.shape[2] == 3
    assert len(maps) == 12
    assert len({scale for _, scale, _ in maps[:8]}) == 1
    assert np.array_equal(maps[0][2], 100 * truths[2])
    assert np.array_equal(maps[3][2], 100 * truths[-1])
    assert not np.any(maps[11][2])
    with pytest.raises(ValueError, match=r"predictions \[3, 16, 20\], 12 hours, columns=4\. Stack the lead times"):
        rollout.strip(truths, truths[:3], hours, columns=4)


def test_curves_take_a_value_for_each_lead_time() -> None:
    lines = {"network": [0.5, 0.4], "persistence": [0.3, np.nan], "mean": [0.1, 0.1]}
    picture = rollout.curves({"iou_50": lines, "rmse": lines}, [6, 12])
    assert picture.shape[1] > 2 * picture.shape[0] / 1.5
    assert np.array_equal(picture, rollout.curves({"iou_50": lines, "rmse": lines}, [6, 12]))
    with pytest.raises(ValueError, match=r"curves needs 3 values of rmse.*got \[2\] of network"):
        rollout.curves({"rmse": lines}, [6, 12, 18])
    with pytest.raises(ValueError, match="curves needs at least one score; got none"):
        rollout.curves({}, [6])
