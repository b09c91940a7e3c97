"""Which values in the masks of data=folder mean which class."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.data.folder import Folder


def write(path: Path, values: object = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.broadcast_to(np.asarray(values, np.uint8), (16, 24)).copy()).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two pairs; the masks hold 0 and 255."""
    for number in range(2):
        write(tmp_path / f"images/{number}.png", 90)
        write(tmp_path / f"masks/{number}.png", np.resize([0, 255, 255], (16, 24)))
    return tmp_path


def folder(root: Path, **settings: object) -> Folder:
    places = {"images": str(root / "images"), "masks": str(root / "masks")}
    data = Folder(**{"in_channels": 3, "batch_size": 2, **places, **settings})
    data.setup()
    return data


@pytest.mark.parametrize("values", [(0,), (1,), (255,), (0, 1), (0, 255)])
def test_masks_of_zero_and_one_or_zero_and_255_need_no_map(root: Path, values: tuple[int, ...]) -> None:
    mask = np.resize(values, (16, 24))
    write(root / "masks/0.png", mask)
    assert np.array_equal(folder(root).item(0)["target"].numpy(), mask > 0)


def test_other_values_are_listed_with_the_setting_to_write(root: Path) -> None:
    write(root / "masks/0.png", np.resize([0, 38, 75], (16, 24)))
    message = (
        r"0\.png holds the values 0, 38, 75; expected \{0, 1\} or \{0, 255\}.*'data\.values=\{0: 0, 38: 1, 75: 1\}'"
    )
    with pytest.raises(ValueError, match=message):
        folder(root).item(0)


def test_the_setting_that_is_suggested_works(root: Path) -> None:
    mask = write(root / "masks/0.png", np.resize([0, 38, 75], (16, 24)))
    for values in ({0: 0, 38: 1, 75: 1}, {"0": 0, "38": 1, "75": "1"}):
        with Image.open(mask) as picture:
            assert np.array_equal(folder(root, values=values).item(0)["target"], np.asarray(picture) > 0)


def test_a_map_may_turn_classes_round(root: Path) -> None:
    with Image.open(root / "masks/0.png") as picture:
        assert np.array_equal(folder(root, values={0: 1, 255: 0}).item(0)["target"], np.asarray(picture) == 0)


def test_values_beyond_eight_bits_can_be_mapped(root: Path) -> None:
    Image.fromarray(np.resize(np.array([0, 1000], np.uint16), (16, 24))).save(root / "masks/0.png")
    assert folder(root, values={0: 0, 1000: 1}).item(0)["target"].float().mean() == 0.5
    with pytest.raises(ValueError, match=r"holds the values 0, 1000; .*'data.values=\{0: 0, 1000: 1\}'"):
        folder(root).item(0)


def test_a_value_that_the_map_lacks_is_listed_with_the_map_to_write(root: Path) -> None:
    write(root / "masks/0.png", np.resize([0, 5, 9], (16, 24)))
    message = r"values 0, 5, 9; expected those of data.values=\{0: 0, 9: 1\}.*'data.values=\{0: 0, 5: 1, 9: 1\}'"
    with pytest.raises(ValueError, match=message):
        folder(root, values={0: 0, 9: 1}).item(0)


def test_greys_of_a_jpeg_mask_are_listed_shortly_with_what_to_do(root: Path) -> None:
    write(root / "masks/0.png", np.tile(np.arange(24) * 10, (16, 1)))
    message = r"values 0, 10, 20, 30, 40, 50, 60, 70, 80, 90, \.\.\.; .*save the masks as PNG"
    with pytest.raises(ValueError, match=message):
        folder(root).item(0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({0: 0, 255: 2}, r"names the classes \[0, 2\], beyond 0 to 1\..* task=multiclass"),
        ({"car": 1}, "must map whole numbers to classes"),
        ({0: None}, r"must map whole numbers.*'data.values=\{0: 0, 255: 1\}'"),
    ],
)
def test_a_map_to_anything_but_the_classes_is_refused(root: Path, values: dict[object, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        folder(root, values=values)


SEVERAL = {"out_channels": 3, "classes": ["background", "cell", "debris"]}


def test_several_classes_are_read_as_they_stand(root: Path) -> None:
    mask = np.resize([0, 1, 2], (16, 24))
    for number, mode in enumerate("LP"):
        picture = Image.fromarray(mask.astype(np.uint8))
        if mode == "P":
            picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        picture.save(root / f"masks/{number}.png")
        assert np.array_equal(folder(root, **SEVERAL).item(number)["target"], mask)


def test_values_of_several_classes_are_mapped(root: Path) -> None:
    write(root / "masks/0.png", np.resize([0, 38, 75, 90], (16, 24)))
    target = folder(root, values={0: 0, 38: 2, 75: 1, 90: 2}, **SEVERAL).item(0)["target"]
    assert np.array_equal(target, np.resize([0, 2, 1, 2], (16, 24)))


def test_values_that_are_no_classes_are_listed_with_a_setting_that_works(root: Path) -> None:
    write(root / "masks/0.png", np.resize([0, 128, 255], (16, 24)))
    message = r"0, 128, 255; expected 0 to 2, data\.out_channels=3\. .*'data\.values=\{0: 0, 128: 1, 255: 2\}'\."
    with pytest.raises(ValueError, match=message):
        folder(root, **SEVERAL).item(0)
    assert folder(root, values={0: 0, 128: 1, 255: 2}, **SEVERAL).item(0)["target"].max() == 2
    with pytest.raises(ValueError, match=r"Were they 3 classes: task=multiclass data\.out_channels=3\."):
        folder(root).item(0)


def test_greys_in_place_of_several_classes_are_answered_with_what_to_save(root: Path) -> None:
    write(root / "masks/0.png", np.tile(np.arange(24) * 10, (16, 1)))
    with pytest.raises(ValueError, match=r"save the masks as PNG of 0 to 2\."):
        folder(root, **SEVERAL).item(0)
