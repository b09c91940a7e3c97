"""Names, colours and numbers of classes, as every data module checks them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import pytest

from segfield.data.blobs import Blobs
from segfield.data.classes import check_classes
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Given(PixelwiseData):
    """One sample, "scan 7", whose truth is given."""

    in_channels: int = 1
    batch_size: int = 1
    target: np.ndarray
    valid: np.ndarray | None = None

    def samples(self) -> list[Sample]:
        return [Sample("scan 7", "7", {}), Sample("scan 8", "8", {})]

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        made = {"image": np.zeros((1, *self.target.shape), np.uint8), "target": self.target}
        return made if self.valid is None else {**made, "valid": self.valid}

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        raise AssertionError("nobody asks for a picture here")


def item(target: list[int], channels: int, dtype: type = np.uint8, valid: list[int] | None = None) -> list[int]:
    inside = None if valid is None else np.array([[valid]], dtype=bool)
    names = ["background", *"abcdefg"[: channels - 1]] if channels > 1 else ["background", "foreground"]
    data = Given(target=np.array([target], dtype), valid=inside, out_channels=channels, classes=names)
    data.setup()
    found: list[int] = data.item(0)["target"][0].tolist()
    return found


@pytest.mark.parametrize(("channels", "last"), [(1, 1), (2, 1), (3, 2), (4, 3)])
def test_classes_up_to_the_last_are_read(channels: int, last: int) -> None:
    assert item([0, last, 0], channels) == [0, last, 0]


@pytest.mark.parametrize(("channels", "first"), [(1, 2), (2, 2), (3, 3)])
def test_a_class_beyond_the_last_is_refused_with_its_sample_and_what_to_type(channels: int, first: int) -> None:
    message = (
        rf"scan 7: 2 pixels are of a class beyond the classes 0 to {first - 1} of data\.out_channels={channels}, "
        rf"such as {first}\. Correct the mask, or use task=multiclass data\.out_channels={first + 1} with"
    )
    with pytest.raises(ValueError, match=message):
        item([0, first, first], channels)


@pytest.mark.parametrize(("number", "dtype"), [(255, np.uint8), (-1, np.int16)])
def test_a_class_that_cannot_be_meant_is_refused_without_a_setting(number: int, dtype: type) -> None:
    with pytest.raises(ValueError, match=rf"such as {number}\. Correct the mask\.$"):
        item([0, 1, number], 1, dtype)


def test_classes_do_not_matter_where_the_truth_does_not_count() -> None:
    assert item([1, 255, 2], 3, valid=[1, 0, 1]) == [1, 255, 2]
    with pytest.raises(ValueError, match=r"1 pixels are .* such as 255"):
        item([255, 255, 2], 3, valid=[1, 0, 1])


def test_bool_and_continuous_truths_are_no_matter_of_classes() -> None:
    assert item([0, 1], 1, np.bool_) == [0, 1]
    assert item([0, 7], 1, np.float32) == [0, 7]


@pytest.mark.parametrize(
    ("classes", "colours", "channels", "message"),
    [
        (["background", "car"], None, 3, r"out_channels=3 needs as many .* got 2, \[background,car\]\. Use data"),
        (["background", "a b"], None, 2, r"'a b' becomes part of a score's name.* Use a_b\."),
        (["background", "a/b."], None, 2, r"'a/b\.' becomes .* Use a_b\."),
        (["background", "?"], None, 2, r"'\?' becomes .* Use thing\."),
        (["background", "a", "a"], None, 3, r"\[background,a,a\] has a name twice"),
        ([f"c{n}" for n in range(256)], None, 256, r"256 is more than 255"),
        (["background", "car"], ["#000000"], 1, r"one '#rrggbb' for each .* got 1 for 2 classes\. Use data"),
        (["background", "car"], ["#000000", "red"], 1, r"got 'red'"),
    ],
)  # fmt: skip
def test_names_and_colours_that_do_not_fit_are_refused(
    classes: list[str], colours: list[str] | None, channels: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_classes(classes, colours, channels)
    if channels < 256:
        with pytest.raises(ValueError, match=message):
            Blobs(in_channels=3, batch_size=2, classes=classes, colours=colours, out_channels=channels)


def test_names_and_colours_that_fit_are_taken() -> None:
    check_classes(["background", "no-tumour", "Müller_2"], ["#000000", "#E69f00", "#56b4e9"], 3)
    check_classes(["background", "a car"], None, 1)  # the name of a binary class is in no score's
