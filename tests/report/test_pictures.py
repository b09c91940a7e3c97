import base64
import io

import numpy as np
import pytest
from PIL import Image

from segfield.figures.classes import palette, region_colours
from segfield.report.charts import histogram
from segfield.report.pictures import css, mask, overlay, thumbnail

IMAGE = np.random.default_rng(0).integers(0, 256, (3, 40, 80), dtype=np.uint8)


def opened(uri: str) -> Image.Image:
    head, content = uri.split(",", 1)
    picture = Image.open(io.BytesIO(base64.b64decode(content)))
    assert head == f"data:image/{str(picture.format).lower()};base64"
    return picture.convert("RGB")


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_of_any_channels_and_type_are_shown_in_their_proportions(channels: int, dtype: type) -> None:
    image = np.resize(IMAGE, (channels, 40, 80)).astype(dtype)
    assert opened(thumbnail(image)).size == (240, 120)
    assert opened(overlay(image, np.zeros((40, 80), np.uint8), palette(2))).size == (240, 120)


def test_an_image_of_nan_or_of_one_value_is_shown() -> None:
    image = np.full((1, 8, 8), np.nan, dtype=np.float32)
    assert np.asarray(opened(thumbnail(image))).max() == 0
    image[0, 0, 0] = 3
    assert opened(thumbnail(image)).size == (240, 240)


def test_a_mask_has_a_colour_per_class_and_black_background() -> None:
    target = np.repeat(np.arange(4, dtype=np.uint8), 60)[None].repeat(240, axis=0)
    colours = ["#000000", "#ff0000", "#00ff00", "#0000ff"]
    drawn = np.asarray(opened(mask(target, palette(4, colours))))
    assert [tuple(drawn[0, at]) for at in (0, 70, 130, 200)] == [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert css(palette(4, colours)) == colours


def test_a_density_is_shown_in_grey_up_to_its_largest_value() -> None:
    target = np.zeros((1, 240, 240), dtype=np.float32)
    target[0, 0, 0], target[0, 0, 1] = 4, 2
    drawn = np.asarray(opened(mask(target, palette(2))))
    assert [tuple(drawn[0, at]) for at in range(3)] == [(255, 255, 255), (128, 128, 128), (0, 0, 0)]


def test_classes_without_colours_get_different_ones_and_one_alone_the_yellow_of_panels() -> None:
    assert len(set(css(region_colours(9)))) == 9
    assert css(region_colours(2)) == ["#000000", "#ffdc00"]
    assert css(region_colours(2, ["#000000", "#ff0000"])) == ["#000000", "#ff0000"]


def test_a_histogram_has_a_bar_for_each_count_and_escapes_its_words() -> None:
    drawn = histogram({"counts": [0, 2, 4], "low": 0.0, "high": 3.0}, "<script>", "grey", {"<mean>": 1.0})
    assert drawn.count("<rect") == 2
    assert "<script>" not in drawn
    assert "<title>&lt;mean&gt;</title>" in drawn
    assert "<title>1 to 2: 2</title>" in drawn
