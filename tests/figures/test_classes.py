"""Pictures of several classes, and their colours."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from segfield.figures import FALSE_ALARM, GAP, HIT, MISSED
from segfield.figures.classes import CONFUSED, class_panel, palette

Array = npt.NDArray[Any]
NAMES = ["background", "cell", "debris"]
COLOURS = palette(3)


def example() -> tuple[Array, Array, Array]:
    """Make an image and two maps: rows by truth (0, 1, 2, a third of the rows each), columns by prediction."""
    image = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    truth = np.repeat(np.arange(3), 30)[:, None].repeat(90, 1)
    return image, truth, truth.T.astype(np.uint8)


def tiles(drawn: Array) -> list[Array]:
    width = (drawn.shape[1] - 3 * GAP) // 4
    return [drawn[:, i * (width + GAP) :][:, :width] for i in range(4)]


def test_image_truth_and_prediction_stand_side_by_side_in_the_colours_given() -> None:
    image, truth, prediction = example()
    drawn = class_panel(image, truth, prediction, COLOURS)
    assert drawn.shape == (90, 4 * 90 + 3 * GAP, 3)
    shown, true, predicted, _ = tiles(drawn)
    assert np.array_equal(shown, image)
    assert np.array_equal(true, COLOURS[truth])
    assert np.array_equal(predicted, COLOURS[prediction])


def test_comparison_tells_hit_confusion_miss_and_false_alarm() -> None:
    compared = tiles(class_panel(*example(), COLOURS))[3][15::30, 15::30]
    black = (0, 0, 0)
    expected = [[black, FALSE_ALARM, FALSE_ALARM], [MISSED, HIT, CONFUSED], [MISSED, CONFUSED, HIT]]
    assert np.array_equal(compared, expected)


def test_a_legend_below_names_the_foreground_in_its_colours() -> None:
    without, drawn = (class_panel(*example(), COLOURS, names) for names in ((), NAMES))
    assert np.array_equal(drawn[:90], without)
    legend = drawn[90:]
    assert legend.shape == (16, drawn.shape[1], 3)
    for colour in COLOURS[1:]:
        assert (legend == colour).all(-1).sum() > 30
    assert (legend == 0).all(-1).sum() > 30  # letters


def test_a_legend_of_many_names_has_several_lines() -> None:
    names = [f"class number {number}" for number in range(12)]
    drawn = class_panel(*example(), palette(12), names)
    assert (drawn.shape[0] - 90) in (32, 48, 64, 80)
    assert all((drawn[90:] == colour).all(-1).any() for colour in palette(12)[1:])


def test_a_large_image_is_reduced_and_a_tiny_one_enlarged() -> None:
    for side, shown in ((600, 200), (20, 120)):
        mask = np.zeros((side, side), dtype=int)
        assert class_panel(np.zeros((side, side)), mask, mask, COLOURS, height=200).shape[0] == shown


def test_pixels_outside_valid_are_dim_and_not_compared_whatever_their_class() -> None:
    image, truth, prediction = example()
    valid = np.ones((90, 90), dtype=bool)
    valid[:, 60:] = False
    shaded = tiles(class_panel(image, np.where(valid, truth, 255), prediction, COLOURS, valid=valid))
    for one, full in zip(shaded, tiles(class_panel(image, truth, prediction, COLOURS)), strict=True):
        assert np.array_equal(one[:, :60], full[:, :60])
    assert len(np.unique(shaded[3][:, 60:].reshape(-1, 3), axis=0)) == 2


def test_picture_never_changes_the_data() -> None:
    arrays = [*example(), COLOURS.copy()]
    before = [a.tobytes() for a in arrays]
    for array in arrays:
        array.flags.writeable = False
    class_panel(*arrays, NAMES)
    assert [a.tobytes() for a in arrays] == before


@pytest.mark.parametrize("name", ["truth", "prediction", "valid"])
def test_maps_of_another_shape_are_refused(name: str) -> None:
    image, truth, prediction = example()
    arrays: dict[str, Any] = {"truth": truth, "prediction": prediction, "valid": truth > 0, name: truth[:50]}
    with pytest.raises(
        ValueError, match=rf"{name} in the image's H and W; got {name} \[50, 90\] for an image \[90, 90\]"
    ):
        class_panel(image, colours=COLOURS, **arrays)


def test_probabilities_in_place_of_classes_are_refused() -> None:
    image, truth, _ = example()
    with pytest.raises(ValueError, match=r"prediction as integers; got float64\. Use probabilities\.argmax\(0\)"):
        class_panel(image, truth, truth / 3, COLOURS)


@pytest.mark.parametrize(("classes", "wrong"), [(2, 2), (1, 2)])
def test_a_class_without_a_colour_is_refused(classes: int, wrong: int) -> None:
    with pytest.raises(ValueError, match=rf"truth holds the class {wrong}, colours are for 0 to {classes - 1}"):
        class_panel(*example(), COLOURS[:classes])


def test_height_below_one_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"height of at least 1 pixel; got 0\. Use height=256"):
        class_panel(*example(), COLOURS, height=0)


def test_colours_of_the_data_are_taken_as_they_are() -> None:
    assert palette(2, ["#000000", "#E69f00"]).tolist() == [[0, 0, 0], [230, 159, 0]]


def test_own_colours_differ_for_as_many_classes_as_there_can_be() -> None:
    own = palette(255)
    assert own[0].tolist() == [0, 0, 0]
    assert len(np.unique(own, axis=0)) == 255
    apart = np.abs(own[:20, None].astype(int) - own[None, :20]).sum(-1) + 999 * np.eye(20, dtype=int)
    assert apart.min() > 80
