"""_annotations.coco.json: outlines as pixels, and files that others damaged or made to harm."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from segfield.data.brain_tumour.annotations import is_box, painted, read_annotations

H, W = 9, 7


@pytest.fixture
def mask() -> np.ndarray:
    return np.random.default_rng(0).random((H, W)) < 0.4


def write(folder: Path, segmentation: Any, **entry: Any) -> Path:
    annotation = {"id": 5, "image_id": 1, "category_id": 1, "segmentation": segmentation, **entry}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": H, "width": W}],
        "annotations": [annotation],
        "categories": [{"id": 0, "name": "Tumor"}, {"id": 1, "name": "glioma"}],
    }
    path = folder / "_annotations.coco.json"
    path.write_text(json.dumps(content))
    return path


def drawn(path: Path) -> np.ndarray:
    (picture,) = read_annotations(path)[1]
    return painted([(1, outline) for _, outline in picture.outlines], picture.size)


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    pixels = mask.ravel(order="F").tolist()
    runs = [len(list(run)) for _, run in itertools.groupby(pixels)]
    return {"size": [H, W], "counts": [0, *runs] if pixels[0] else runs}


def compressed(mask: np.ndarray) -> dict[str, Any]:
    runs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [H, W], "counts": runs["counts"].decode()}


@pytest.mark.parametrize("kind", [uncompressed, compressed])
def test_run_lengths_give_their_pixels(kind: Any, mask: np.ndarray, tmp_path: Path) -> None:
    for first in (False, True):
        mask[0, 0] = first
        assert np.array_equal(drawn(write(tmp_path, kind(mask))), mask)


def test_run_lengths_of_a_large_picture_are_understood(tmp_path: Path) -> None:
    """Long runs take several characters, and from the third on only changes are stored."""
    large = np.zeros((400, 300), np.uint8)
    large[50:350, 20:280] = 1
    content = json.loads(write(tmp_path, compressed(large[:H, :W])).read_text())
    content["images"][0] |= {"height": 400, "width": 300}
    runs = coco_mask.encode(np.asfortranarray(large))["counts"].decode()
    content["annotations"][0]["segmentation"] = {"size": [400, 300], "counts": runs}
    path = tmp_path / "_annotations.coco.json"
    path.write_text(json.dumps(content))
    assert np.array_equal(drawn(path), large)


def test_polygons_of_one_annotation_are_one_outline(tmp_path: Path) -> None:
    target = drawn(write(tmp_path, [[0, 0, 2, 0, 2, 2, 0, 2], [4, 4, 6, 4, 6, 6, 4, 6]]))
    assert (target.sum(), target[0, 0], target[5, 5], target[3, 3]) == (8, 1, 1, 0)


@pytest.mark.parametrize(
    ("outline", "expected"),
    [
        ([[0, 0, 4, 0, 4, 4, 0, 4]], True),
        ([[435, 231.25, 323.75, 231.25, 323.75, 307.5, 435, 307.5, 435, 231.25]], True),
        ([[0, 0, 4, 0, 0, 4]], False),
        ([[0, 1, 1, 0, 2, 1, 1, 2]], False),
        ([[0, 0, 4, 0, 4, 4, 0, 4]] * 2, False),
        ({"size": [4, 4], "counts": [0, 16]}, False),
    ],
)
def test_only_one_rectangle_along_the_axes_is_a_box(outline: Any, expected: bool) -> None:
    assert is_box(outline) is expected


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "has no outline"),
        (None, "has no outline"),
        ([[1, 1, 5, 5]], "three corners or more"),  # pycocotools takes four numbers for a box
        ([[1, 1, 5, 5, 3, 3, 2]], "three corners or more"),
        ([["a", 1, 5, 5, 3, 3]], "something else than numbers"),
        ([[float("nan"), 1, 5, 5, 3, 3]], "something else than numbers"),
        ([[0, 0, 1e7, 0, 3, 3]], r"a polygon from x=0 to 10000000\.0, outside of its 7 pixels"),
        ([[0, 0, 3, 0, 3, -900]], "a polygon from y=-900 to 0, outside of its 9 pixels"),
        ([[0, 0, 10**400, 0, 3, 3]], "too large"),
        ({"size": [4, 4], "counts": [16]}, r"size \[4, 4\], its image is \[9, 7\]"),
        ({"size": [H, W], "counts": [5, 3]}, "8 pixels in all, its image has 63"),
        ({"size": [H, W], "counts": [0, 10**6]}, "1000000 pixels in all"),
        ({"size": [H, W], "counts": [70, -7]}, "neither whole numbers nor"),
        ({"size": [H, W], "counts": [True, 62]}, "neither whole numbers nor"),
        ({"size": [H, W]}, "neither whole numbers nor"),
        ({"size": [H, W], "counts": "0"}, "0 pixels in all"),  # pycocotools shows what the memory held
        ({"size": [H, W], "counts": "P" * 50}, "run lengths that are damaged"),
        ({"size": [H, W], "counts": "\u00ff"}, "run lengths that are damaged"),
        ({"size": [H, W], "counts": "o"}, "run lengths that are damaged"),
    ],
)
def test_outlines_that_pycocotools_must_not_see_are_named_with_file_and_annotation(
    segmentation: Any, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, segmentation)
    with pytest.raises(ValueError, match=message) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value)


def test_a_category_that_is_not_listed_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"annotation 5 of a\.jpg has category_id 7, .*: 0 Tumor, 1 glioma"):
        read_annotations(write(tmp_path, [], category_id=7))


def test_an_annotation_of_an_unknown_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"annotation 5 is of the image 3, which is not listed"):
        read_annotations(write(tmp_path, [], image_id=3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "expected a mapping with images, annotations and categories, found list"),
        ('{"images": []}', "expected a list 'categories', found images"),
        ('{"categories": [], "images": {}}', "expected a list 'images', found categories, images"),
        ('{"categories": [{"id": 1}], "images": [], "annotations": []}', "'name' must be a word, found 'None'"),
        ('{"categories": [3], "images": [], "annotations": []}', "'id' must be a whole number, found 'None'"),
    ],
)
def test_a_json_of_something_else_says_what_was_expected(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "_annotations.coco.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"_annotations\.coco\.json: {message}.*Export it again as COCO"):
        read_annotations(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', r"is damaged or cut short: Expecting value.*Copy or download it again"),
        ("", r"is empty \(0 bytes\)"),
        ("version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer.*git lfs pull"),
        ("[" * 100_000, "is damaged or cut short"),
    ],
)
def test_a_damaged_json_is_named(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "_annotations.coco.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"_annotations\.coco\.json {message}"):
        read_annotations(path)


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "..\\a.jpg", "a\0.jpg"])
def test_names_that_lead_out_of_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, [])
    path.write_text(path.read_text().replace('"a.jpg"', json.dumps(name)))
    with pytest.raises(ValueError, match=r"the file_name .* leads out of the folder"):
        read_annotations(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 1}, r"the image 1 \(b\.jpg\) stands twice"),
        ({"file_name": "a.jpg"}, r"the image 2 \(a\.jpg\) stands"),
        ({"height": 0}, "b.jpg has 0x7 pixels"),
        ({"width": 10**9}, "has 9x1000000000 pixels"),
    ],
)
def test_images_that_stand_twice_or_have_no_size_are_named(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, [])
    content = json.loads(path.read_text())
    content["images"].append({"id": 2, "file_name": "b.jpg", "height": H, "width": W, **change})
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_annotations(path)
