from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from segfield.figures import FALSE_ALARM, HIT, MISSED, PREDICTED, panel

GAP = 4
Array = npt.NDArray[Any]


def example(rows: int = 100, columns: int = 80) -> tuple[Array, Array, Array]:
    """Make an image and two shifted rectangles: rows 20..60 of columns 10..50 are true, of 30..70 predicted."""
    image = np.random.default_rng(0).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    truth, prediction = np.zeros((rows, columns), dtype=np.int64), np.zeros((rows, columns), dtype=bool)
    truth[20:60, 10:50] = 1
    prediction[20:60, 30:70] = True
    return image, truth, prediction


def tiles(drawn: Array) -> tuple[Array, Array, Array]:
    width = (drawn.shape[1] - 2 * GAP) // 3
    first, second, third = (drawn[:, i * (width + GAP) :][:, :width] for i in range(3))
    return first, second, third


def blank(rows: int, columns: int) -> Array:
    return np.zeros((rows, columns), dtype=bool)


def test_three_tiles_stand_side_by_side_with_white_gaps() -> None:
    drawn = panel(*example())
    assert drawn.dtype == np.uint8
    assert drawn.shape == (100, 3 * 80 + 2 * GAP, 3)
    assert (drawn[:, 80 : 80 + GAP] == 255).all()


def test_uint8_image_is_shown_as_it_is() -> None:
    image, truth, prediction = example()
    assert np.array_equal(tiles(panel(image, truth, prediction))[0], image)


def test_comparison_shows_hit_grey_missed_blue_false_alarm_green_and_the_rest_black() -> None:
    compared = tiles(panel(*example()))[1]
    expected = np.zeros((100, 80, 3), dtype=np.uint8)
    expected[20:60, 30:50], expected[20:60, 10:30], expected[20:60, 50:70] = HIT, MISSED, FALSE_ALARM
    assert np.array_equal(compared, expected)
    assert (HIT, MISSED, FALSE_ALARM) == ((64, 64, 64), (0, 0, 255), (0, 255, 0))


def test_overlay_outlines_and_tints_the_prediction_and_leaves_the_rest() -> None:
    image, truth, prediction = example()
    overlay = tiles(panel(image, truth, prediction))[2]
    assert (overlay[20:60, 30] == PREDICTED).all()
    assert (overlay[20, 30:70] == PREDICTED).all()
    inner, under = overlay[21:59, 31:69].astype(int), image[21:59, 31:69].astype(int)
    assert (np.abs(inner - PREDICTED) <= np.abs(under - PREDICTED)).all()
    assert not np.array_equal(inner, under)
    assert np.array_equal(overlay[:19], image[:19])
    assert np.array_equal(overlay[:, :29], image[:, :29])


def test_outline_is_visible_on_a_picture_of_its_own_colour() -> None:
    _, truth, prediction = example()
    image = np.broadcast_to(np.array(PREDICTED, dtype=np.uint8), (100, 80, 3))
    overlay = tiles(panel(image, truth, prediction))[2]
    assert (overlay[20:60, 29].max(axis=-1) < 128).all()


def test_region_that_leaves_the_frame_has_no_outline_there() -> None:
    image = np.zeros((100, 80, 3), dtype=np.uint8)
    everything = ~blank(100, 80)
    overlay = tiles(panel(image, everything, everything))[2]
    assert len(np.unique(overlay.reshape(-1, 3), axis=0)) == 1
    assert (overlay[0, 0] != PREDICTED).any()


@pytest.mark.parametrize("rows", [257, 640, 1280])
def test_higher_image_is_reduced_to_the_height_and_keeps_its_aspect(rows: int) -> None:
    image, mask = np.zeros((rows, rows * 3 // 2, 3), dtype=np.uint8), blank(rows, rows * 3 // 2)
    assert panel(image, mask, mask, height=256).shape == (256, 3 * 384 + 2 * GAP, 3)


def test_reducing_averages_the_image_and_the_masks() -> None:
    image, mask = np.zeros((400, 400), dtype=np.uint8), blank(400, 400)
    image[::2], mask[:, ::2] = 200, True
    shown, compared, _ = tiles(panel(image, mask, mask, height=100))
    assert np.abs(shown.astype(int) - 100).max() < 30
    assert (compared == HIT[0] // 2).all()


def test_one_very_high_column_keeps_a_column() -> None:
    assert panel(np.zeros((5000, 1)), blank(5000, 1), blank(5000, 1)).shape == (256, 3 + 2 * GAP, 3)


def test_image_of_the_height_is_never_enlarged() -> None:
    assert panel(np.zeros((64, 40)), blank(64, 40), blank(64, 40)).shape == (64, 3 * 40 + 2 * GAP, 3)


def test_tiny_image_is_enlarged_by_repeating_pixels() -> None:
    image = np.arange(30 * 20, dtype=np.uint8).reshape(30, 20)
    shown = tiles(panel(image, blank(30, 20), blank(30, 20)))[0]
    assert np.array_equal(shown[:, :, 0], image.repeat(4, axis=0).repeat(4, axis=1))


def test_tiny_image_stays_within_the_height() -> None:
    assert panel(np.zeros((30, 20)), blank(30, 20), blank(30, 20), height=70).shape[0] == 60


@pytest.mark.parametrize(("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (5, [0, 1, 2])])
def test_channels_are_shown_as_grey_or_as_the_first_three(channels: int, shown: list[int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (70, 70, channels), dtype=np.uint8)
    drawn = tiles(panel(image, blank(70, 70), blank(70, 70)))[0]
    assert np.array_equal(drawn, image[:, :, shown])


def test_grey_image_may_lack_its_channel() -> None:
    image = np.random.default_rng(1).integers(0, 256, (70, 70), dtype=np.uint8)
    assert np.array_equal(tiles(panel(image, blank(70, 70), blank(70, 70)))[0][:, :, 1], image)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, np.uint16])
def test_other_types_are_stretched_from_their_smallest_to_their_largest_value(dtype: type) -> None:
    image: Array = np.linspace(1000, 3000, 70 * 70).reshape(70, 70).astype(dtype)
    drawn = tiles(panel(image, blank(70, 70), blank(70, 70)))[0]
    assert drawn[0, 0, 0] == 0
    assert drawn[-1, -1, 0] == 255
    assert drawn[35, 0, 0] == pytest.approx(128, abs=1)


def test_stretch_keeps_the_colours_of_channels_apart() -> None:
    image = np.zeros((70, 70, 3), dtype=np.float32)
    image[:, :, 1], image[:, :, 2] = 0.5, 1.0
    assert tiles(panel(image, blank(70, 70), blank(70, 70)))[0][0, 0].tolist() == [0, 128, 255]


def test_largest_floats_do_not_overflow() -> None:
    image = np.zeros((70, 70))
    image[0, 0], image[0, 1] = np.finfo(np.float64).max, np.finfo(np.float64).min
    assert tiles(panel(image, blank(70, 70), blank(70, 70)))[0][0, :3, 0].tolist() == [255, 0, 128]


def test_nan_and_infinite_pixels_are_black_and_do_not_disturb_the_others() -> None:
    image = np.linspace(1, 2, 4900).reshape(70, 70)
    image[3, 3:6] = np.nan, np.inf, -np.inf
    drawn = tiles(panel(image, blank(70, 70), blank(70, 70)))[0]
    assert (drawn[3, 3:6] == 0).all()
    assert drawn[-1, -1, 0] == 255


@pytest.mark.parametrize(("value", "grey"), [(0.0, 128), (1e30, 128), (float("nan"), 0)])
def test_constant_image_is_mid_grey_and_an_image_of_nan_black(value: float, grey: int) -> None:
    assert (tiles(panel(np.full((70, 70), value), blank(70, 70), blank(70, 70)))[0] == grey).all()


def test_pixels_outside_valid_are_dim_hatched_and_not_compared() -> None:
    image, truth, prediction = example()
    valid = ~blank(100, 80)
    valid[:, 40:] = False
    with_valid, without = tiles(panel(image, truth, prediction, valid=valid)), tiles(panel(image, truth, prediction))
    for shaded, full in zip(with_valid, without, strict=True):
        assert np.array_equal(shaded[:, :40], full[:, :40])
    assert with_valid[0][:, 40:].mean() < 0.6 * without[0][:, 40:].mean()
    assert len(np.unique(with_valid[1][:, 40:].reshape(-1, 3), axis=0)) == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("rows", [20, 100, 300])
def test_picture_never_changes_the_data(dtype: type, rows: int) -> None:
    rng = np.random.default_rng(2)
    image: Array = rng.integers(0, 256, (rows, rows, 3)).astype(dtype)
    masks = [rng.random((rows, rows)) > 0.5 for _ in range(3)]
    arrays = [image, *masks]
    before = [a.tobytes() for a in arrays]
    for array in arrays:
        array.flags.writeable = False
    drawn = panel(image, masks[0], masks[1], valid=masks[2])
    assert [a.tobytes() for a in arrays] == before
    assert not any(np.shares_memory(drawn, a) for a in arrays)


@pytest.mark.parametrize("name", ["truth", "prediction", "valid"])
def test_mask_of_another_shape_is_refused(name: str) -> None:
    masks = {"truth": blank(70, 60), "prediction": blank(70, 60), "valid": blank(70, 60)}
    masks[name] = blank(60, 70)
    with pytest.raises(ValueError, match=rf"got {name} \[60, 70\] for an image \[70, 60\]\. Crop the image"):
        panel(np.zeros((70, 60, 3)), masks["truth"], masks["prediction"], valid=masks["valid"])


def test_probabilities_in_place_of_a_mask_are_refused() -> None:
    with pytest.raises(ValueError, match=r"prediction as bool or integer; got float64\. Use prediction > 0\.5"):
        panel(np.zeros((70, 60)), blank(70, 60), np.full((70, 60), 0.2))


@pytest.mark.parametrize("shape", [(70,), (2, 3, 70, 60), (0, 60, 3)])
def test_image_of_a_wrong_rank_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"image \[H, W\] or \[H, W, C\]; got \[.*image\.permute\(1, 2, 0\)"):
        panel(np.zeros(shape), blank(70, 60), blank(70, 60))


def test_height_below_one_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"height of at least 1 pixel; got 0\. Use height=256"):
        panel(*example(), height=0)
