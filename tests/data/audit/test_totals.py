import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from segfield.data.audit import totals
from segfield.data.audit.measure import Measured

Measure = Callable[..., list[Measured]]
IMAGE = np.random.default_rng(0).integers(0, 256, (3, 10, 10), dtype=np.uint8)
NAMES = ("background", "one", "two")


def drawn(dtype: type) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    if dtype is np.uint8:
        return [rng.integers(0, 256, (3, 20 + n, 30), dtype=np.uint8) for n in range(3)]
    return [rng.normal(2, 3, (3, 20 + n, 30)).astype(np.float32) for n in range(3)]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mean_std_and_range_are_of_all_pixels_together(dtype: type, measured: Measure) -> None:
    images = drawn(dtype)
    found = totals.channels([row.channels for row in measured(images) if row.channels])
    scale, near = (255, 0.01) if dtype is np.uint8 else (1, 0.3)
    for channel, numbers in enumerate(found):
        pixels = np.concatenate([image[channel].ravel() for image in images]).astype(np.float64) / scale
        for key, value in (
            ("mean", pixels.mean()),
            ("std", pixels.std()),
            ("min", pixels.min()),
            ("max", pixels.max()),
        ):
            assert numbers[key] == pytest.approx(value, rel=1e-6)
        assert numbers["percentiles"]["50"] == pytest.approx(np.median(pixels), abs=near)


def test_nan_and_infinity_are_counted_and_left_out(measured: Measure) -> None:
    image = np.zeros((1, 4, 4), dtype=np.float32)
    image[0, 0] = (math.nan, math.inf, 1, 1)
    (row,) = measured([image])
    assert row.channels is not None
    assert (row.channels.infinite, row.channels.total.tolist()) == (2, [2.0])


def test_class_weights_are_by_median_frequency(measured: Measure) -> None:
    one, two = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    one[:2], two[:1], two[1:5] = 1, 1, 2
    table = totals.classes(measured([IMAGE, IMAGE], [one, two], classes=3), NAMES, 3)
    # frequency: 130/200 of class 0, 30/200 of 1, 40/100 of 2, which one image alone holds; their median is 0.4
    assert [row["pixels"] for row in table] == [130, 30, 40]
    assert [row["weight"] for row in table] == pytest.approx([0.4 / 0.65, 0.4 / 0.15, 1.0], rel=1e-3)
    assert totals.weights(table)["loss.class_weights"] == [row["weight"] for row in table]


def test_a_binary_mask_suggests_the_weight_that_balances_both_classes(measured: Measure) -> None:
    target = np.zeros((10, 10), np.uint8)
    target[:2] = 1
    found = totals.weights(totals.classes(measured([IMAGE], [target]), NAMES, 2))
    assert found["loss.pos_weight"] == 4
    assert found["formula"].startswith("background / foreground pixels")


def test_a_class_that_is_never_met_has_no_weight_and_none_are_suggested(measured: Measure) -> None:
    table = totals.classes(measured([IMAGE]), NAMES, 2)
    assert table[1]["weight"] is None
    assert totals.weights(table) == {}


def test_pixels_outside_valid_count_for_no_class(measured: Measure) -> None:
    target, valid = np.ones((10, 10), np.uint8), np.zeros((1, 10, 10), dtype=np.bool_)
    target[0], valid[0, :3] = 0, True
    (row,) = measured([IMAGE], [target], valid=valid)
    assert row.classes == (10, 20)
    assert row.share == pytest.approx(2 / 3)


def test_a_target_in_floats_has_a_range_and_no_classes(measured: Measure) -> None:
    target = np.zeros((1, 10, 10), dtype=np.float32)
    target[0, 0, 0] = 2.5
    (row,) = measured([IMAGE], [target])
    assert (row.classes, row.target_range, row.share) == ((), (0.0, 2.5), 0.01)


def test_a_class_beyond_the_configured_ones_makes_a_sample_unusable(measured: Measure) -> None:
    (row,) = measured([IMAGE], [np.full((10, 10), 3, np.uint8)])
    assert row.problem == "unfit"
    assert "a class beyond the classes 0 to 1 of data.out_channels=" in row.message
    assert "such as 3" in row.message


def test_rare_sizes_are_counted_together() -> None:
    counted = totals.frequent(Counter({str(size): 100 - size for size in range(25)}))
    assert (len(counted), counted["0"], counted["others"]) == (21, 100, 80 + 79 + 78 + 77 + 76)
