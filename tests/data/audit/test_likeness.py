import io
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from segfield.data.audit.likeness import NEAR, near_pairs, same
from segfield.data.audit.measure import Measured
from segfield.data.blobs import Blobs
from segfield.data.sample import Sample

Measure = Callable[..., list[Measured]]
Found = Callable[..., tuple[int, int]]


def blob(number: int) -> Image.Image:
    data = Blobs(in_channels=3, batch_size=1, size=(96, 128))
    return Image.fromarray(data.read(Sample("", "", {"index": number}), None)["image"].transpose(1, 2, 0))


def array(picture: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(picture.convert("RGB")).transpose(2, 0, 1))


@pytest.fixture
def found(measured: Measure) -> Found:
    """Count near pairs across and within parts."""

    def call(one: Image.Image, other: Image.Image, parts: tuple[str, str] = ("train", "val")) -> tuple[int, int]:
        rows = measured([array(one), array(other)])
        pairs = near_pairs([r.hash64 for r in rows], parts, [r.digest for r in rows], [r.small for r in rows])
        return pairs.across, pairs.within

    return call


def saved(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=quality)
    return Image.open(buffer)


@pytest.mark.parametrize("number", range(3))
def test_compressed_resized_brighter_and_paler_copies_are_near(number: int, found: Found) -> None:
    picture = blob(number)
    for copy in (
        saved(picture, 40),
        picture.resize((64, 48)),
        ImageEnhance.Brightness(picture).enhance(1.15),
        ImageEnhance.Contrast(picture).enhance(0.8),
    ):
        assert found(picture, copy) == (1, 0)


def test_different_pictures_are_not_near(found: Found) -> None:
    assert all(found(one, other) == (0, 0) for one, other in pairwise([blob(number) for number in range(6)]))


def test_two_colours_of_one_scene_are_not_near(found: Found) -> None:
    red, green, blue = blob(0).split()
    assert found(blob(0), Image.merge("RGB", (red, green.point(lambda v: 255 - v), blue))) == (0, 0)


def test_near_pairs_within_a_part_are_counted_apart(found: Found) -> None:
    assert found(blob(0), saved(blob(0), 40), ("train", "train")) == (0, 1)


def test_equal_pixels_are_the_same_and_not_near(measured: Measure) -> None:
    rows = measured([array(blob(0)), array(blob(1)), array(blob(0))])
    assert same({place: row.digest for place, row in enumerate(rows)}) == [[0, 2]]
    pairs = near_pairs([r.hash64 for r in rows], list("abc"), [r.digest for r in rows], [r.small for r in rows])
    assert (pairs.across, pairs.pairs) == (0, [])


def test_all_pairs_are_compared_and_the_nearest_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segfield.data.audit.likeness._AT_ONCE", 7)  # several blocks
    monkeypatch.setattr("segfield.data.audit.likeness._COMPARED", 2)
    rng = np.random.default_rng(0)
    base = int(rng.integers(2**63))
    hashes = [base ^ sum(1 << bit for bit in rng.permutation(63)[:count].tolist()) for count in (0, 3, 9, 1, 30)]
    found = near_pairs(hashes, ["train", "val", "val", "val", "val"], list("abcde"), [bytes(range(48))] * 5)
    assert [(pair.first, pair.second, pair.distance) for pair in found.pairs] == [(0, 3, 1), (0, 1, 3)]
    close = [(a ^ b).bit_count() <= NEAR for place, a in enumerate(hashes) for b in hashes[place + 1 :]]
    assert found.across + found.within == sum(close)


def test_a_constant_image_is_said_to_be_one(measured: Measure) -> None:
    rows = measured([array(Image.new("RGB", (20, 20), "grey")), array(blob(0))])
    assert [row.is_constant for row in rows] == [True, False]
