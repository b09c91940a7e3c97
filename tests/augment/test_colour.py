from typing import Any

import pytest
import torch
from torch import Tensor

from segfield.augment import Augmentation
from segfield.augment.colour import Brightness, Colour, Contrast, Gamma, HueSaturationValue


def changed(change: Colour, image: Tensor) -> Tensor:
    """Change one image [C, H, W]."""
    result: Tensor = Augmentation(colour={"it": change})({"image": image[None], "index": torch.tensor([0])}, 0, 0)[
        "image"
    ][0]
    return result


def plane(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1).expand(-1, 4, 4).clone()


RAMP = torch.linspace(0, 1, 16).view(1, 4, 4)


def test_brightness_adds_and_ends_at_black_and_white() -> None:
    assert torch.allclose(changed(Brightness(1.0, (0.25, 0.25)), RAMP), (RAMP + 0.25).clamp(0, 1))
    assert torch.allclose(changed(Brightness(1.0, (-0.25, -0.25)), RAMP), (RAMP - 0.25).clamp(0, 1))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_contrast_stretches_about_the_mean_of_the_image(channels: int) -> None:
    image = RAMP.expand(channels, -1, -1) * 0.5
    expected = (image - image.mean()) * 1.5 + image.mean()
    assert torch.allclose(changed(Contrast(1.0, (1.5, 1.5)), image), expected.clamp(0, 1), atol=1e-6)


def test_gamma_raises_to_a_power_and_keeps_black_and_white() -> None:
    assert torch.allclose(changed(Gamma(1.0, (2.0, 2.0)), RAMP), RAMP**2)


def test_hue_of_120_degrees_turns_red_to_green_to_blue() -> None:
    third = HueSaturationValue(1.0, hue=(120, 120))
    assert torch.allclose(changed(third, plane(0.8, 0.2, 0.2)), plane(0.2, 0.8, 0.2), atol=1e-6)
    assert torch.allclose(changed(third, plane(0.2, 0.8, 0.2)), plane(0.2, 0.2, 0.8), atol=1e-6)
    assert torch.allclose(changed(third, plane(0.2, 0.2, 0.8)), plane(0.8, 0.2, 0.2), atol=1e-6)


def test_saturation_and_value_are_added_and_end_at_0_and_1() -> None:
    pale = HueSaturationValue(1.0, saturation=(-1.0, -1.0))
    assert torch.allclose(changed(pale, plane(0.8, 0.4, 0.2)), plane(0.8, 0.8, 0.8), atol=1e-6)
    bright = HueSaturationValue(1.0, value=(0.1, 0.1))
    assert torch.allclose(changed(bright, plane(0.8, 0.4, 0.4)), plane(0.9, 0.45, 0.45), atol=1e-6)
    assert changed(HueSaturationValue(1.0, value=(0.9, 0.9)), plane(0.8, 0.4, 0.4)).max() == 1


def test_changes_follow_one_another_in_the_order_written() -> None:
    dark, square = Brightness(1.0, (-0.5, -0.5)), Gamma(1.0, (2.0, 2.0))
    batch = {"image": plane(0.8)[None], "index": torch.tensor([0])}
    first = Augmentation(colour={"b": dark, "g": square})(batch, 0, 0)["image"]
    second = Augmentation(colour={"g": square, "b": dark})(batch, 0, 0)["image"]
    assert (float(first.mean()), float(second.mean())) == pytest.approx((0.09, 0.14), abs=1e-5)


def test_images_alone_change_and_only_those_that_are_chosen() -> None:
    index = torch.arange(100)
    batch = {"image": torch.full((100, 3, 2, 2), 0.5), "target": torch.ones(100, 2, 2).long(), "index": index}
    result = Augmentation(colour={"b": Brightness(0.3, (0.1, 0.2)), "off": None})(batch, 0, 0)
    assert result["target"] is batch["target"]
    assert 15 < int((result["image"][:, 0, 0, 0] != 0.5).sum()) < 45
    assert (batch["image"] == 0.5).all()


def test_nothing_chosen_keeps_the_tensor() -> None:
    batch = {"image": torch.full((2, 3, 2, 2), 0.5), "index": torch.arange(2)}
    assert Augmentation(colour={"b": Brightness(0.0)})(batch, 0, 0)["image"] is batch["image"]


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_hue_of_a_grey_image_is_refused_whatever_is_drawn(probability: float) -> None:
    message = r"augmentation\.colour, HueSaturationValue: needs an image of 3 channels .*this one has 1\. Remove it, or"
    with pytest.raises(ValueError, match=message):
        changed(HueSaturationValue(probability, (-20, 20)), RAMP)


@pytest.mark.parametrize("value", [-3.0, 2.0, float("nan")])
def test_colours_of_an_image_outside_0_to_1_are_refused(value: float) -> None:
    message = r"augmentation\.colour changes images with values in \[0, 1\]; this one has .*Use ~augmentation\.colour"
    with pytest.raises(ValueError, match=message):
        changed(Brightness(1.0), plane(0.5, value))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Brightness(1.5),
            r"augmentation\.colour, Brightness: probability is a probability in \[0, 1\]; got 1\.5",
        ),
        (lambda: Brightness(shift=(0.2, -0.2)), r"Brightness: shift is \[low, high\], added .*Use \[-0\.1, 0\.1\]"),
        (
            lambda: Contrast(factor=(-1, 1)),
            r"Contrast: factor is .* within \[0, 10\]; got \[-1, 1\]\. Use \[0\.8, 1\.25\]",
        ),
        (
            lambda: Gamma(exponent=(0, 1)),
            r"Gamma: exponent is .* within \[0\.1, 10\]; got \[0, 1\]\. Use \[0\.7, 1\.5\]",
        ),
        (
            lambda: HueSaturationValue(hue=(0, 300)),
            r"HueSaturationValue: hue is .*in degrees.*\[-180, 180\]; got \[0, 3",
        ),
        (
            lambda: HueSaturationValue(value=(-15, 15)),
            r"HueSaturationValue: value is .* within \[-1, 1\]; got \[-15, 15\]",
        ),
        (lambda: Augmentation(colour={"me": 3}), r"augmentation\.colour\.me is a int.*~augmentation\.colour\.me\."),  # type: ignore[dict-item]
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


class Inverted(Colour):
    stream = 1000

    def __init__(self, probability: float) -> None:
        super().__init__(probability, [(1.0, 1.0)])

    def change(self, image: Tensor, amounts: Tensor) -> Tensor:
        return amounts[:, :, None, None] - image


def test_class_of_your_own_is_a_change_like_the_others() -> None:
    assert torch.equal(changed(Inverted(1.0), RAMP), 1 - RAMP)
