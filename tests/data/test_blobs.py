import time

import numpy as np
import pytest

from segfield.data.blobs import Blobs


def blobs(**settings: object) -> Blobs:
    data = Blobs(**{"in_channels": 3, "batch_size": 16, "length": 40, **settings})
    data.setup()
    return data


def test_a_sample_is_drawn_alike_by_every_module_in_every_order() -> None:
    first, second = blobs(), blobs(length=20, seed=5, num_workers=2, batch_size=2, val_fraction=0.5)
    for index in (7, 3, 7):
        one, two = first.item(index), second.item(index)
        assert one["id"] == two["id"]
        assert np.array_equal(one["image"], two["image"])
        assert np.array_equal(one["target"], two["target"])


def test_another_content_seed_index_or_size_draws_something_else() -> None:
    image = blobs().item(0)["image"]
    assert not np.array_equal(image, blobs().item(1)["image"])
    assert not np.array_equal(image, blobs(content_seed=1).item(0)["image"])
    assert not np.array_equal(image, blobs(size=[128, 130]).item(0)["image"][..., :128])


@pytest.mark.parametrize("size", [[128, 128], [32, 57], [200, 96]])
def test_images_are_three_bytes_and_masks_are_zero_or_one_at_the_working_size(size: list[int]) -> None:
    data = blobs(size=size)
    for index in range(10):
        item = data.item(index)
        assert item["image"].shape == (3, *size)
        assert str(item["image"].dtype) == "torch.uint8"
        assert item["target"].shape == tuple(size)
        assert set(item["target"].unique().tolist()) <= {0, 1}


def test_classes_are_the_outlines_of_the_blobs_of_the_same_image() -> None:
    names = ["background", "ellipse", "polygon"]
    binary, several, shares = blobs(), blobs(out_channels=3, classes=names), np.zeros(3)
    for index in range(40):
        one, three = binary.item(index), several.item(index)
        assert np.array_equal(one["image"], three["image"])
        assert np.array_equal(one["target"], three["target"] > 0)
        shares += np.bincount(three["target"].numpy().ravel(), minlength=3)
    assert 0.3 < shares[1] / shares[1:].sum() < 0.8  # an ellipse is the larger shape


def test_more_classes_than_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.out_channels=4 wants more\. Use data=blobs, or data=blobs_shapes"):
        blobs(out_channels=4, classes=["background", "a", "b", "c"])


def test_foreground_is_a_minority_and_almost_never_nothing() -> None:
    shares = [float(item["target"].float().mean()) for item in map(blobs(length=100).item, range(100))]
    assert 0.1 < np.mean(shares) < 0.4
    assert np.mean(np.array(shares) > 0.01) > 0.98


def test_no_threshold_of_brightness_finds_the_blobs() -> None:
    data, best = blobs(), []
    for item in map(data.item, range(20)):
        grey, truth = item["image"].float().mean(0).numpy(), item["target"].numpy() > 0
        guesses = [part for level in range(10, 250, 10) for part in (grey > level, grey < level)]
        best.append(max(2 * (guess & truth).sum() / max(guess.sum() + truth.sum(), 1) for guess in guesses))
    assert np.mean(best) < 0.7  # although the best level is chosen for each image


def test_each_sample_is_a_group_of_its_own() -> None:
    table = blobs().split_table()
    assert all(id_ == group for id_, group, _ in table)
    assert [part for *_, part in table].count("val") == 8


def test_a_sample_is_drawn_in_milliseconds() -> None:
    data = blobs()
    data.item(0)
    start = time.perf_counter()
    for index in range(20):
        data.item(index)
    assert (time.perf_counter() - start) / 20 < 0.02  # 1.5 ms where nothing else runs


def test_a_size_is_needed() -> None:
    with pytest.raises(ValueError, match=r"data.size, which is null. Use data.size=\[128,128\]"):
        blobs(size=None)


def test_a_length_without_two_parts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data.length=1 leaves nothing to split.*data.length=400"):
        blobs(length=1)


def test_grey_blobs_are_refused_with_the_number_of_channels_to_set() -> None:
    with pytest.raises(ValueError, match=r"has 3 channels, data.in_channels is 1. Use data.in_channels=3"):
        blobs(in_channels=1).item(0)
