from typing import Any

import pytest
import torch

from segfield.models.resnet_unet import ResNetUNet


class FetchedError(Exception):
    """Raised where weights would be fetched."""


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the weights that were asked for; asking ends the construction."""
    import timm
    from segmentation_models_pytorch import encoders

    asked: list[str] = []
    create_model = timm.create_model

    def refuse(name: str, *args: Any, **kwargs: Any) -> None:
        asked.append(name)
        raise FetchedError(name)

    def create(name: str, pretrained: bool = False, **kwargs: Any) -> Any:
        return refuse(name) if pretrained else create_model(name, **kwargs)

    monkeypatch.setattr(encoders, "hf_hub_download", refuse)
    monkeypatch.setattr(timm, "create_model", create)
    return asked


@pytest.mark.parametrize(("encoder", "expected"), [("resnet34", 24_436_369), ("resnet50", 32_521_105)])
def test_parameters_are_as_many_as_in_smp(encoder: str, expected: int) -> None:
    with torch.device("meta"):
        net = ResNetUNet(3, 1, encoder)
    assert sum(parameter.numel() for parameter in net.parameters()) == expected


def test_logits_have_the_size_of_any_image() -> None:
    net = ResNetUNet(2, 3, "resnet18").eval()
    with torch.no_grad():
        for size in ((1, 1), (5, 40), (33, 64), (32, 32)):
            assert net(torch.rand(1, 2, *size)).shape == (1, 3, *size)


def test_logits_are_cropped_where_the_image_was_padded() -> None:
    net = ResNetUNet(1, 1, "resnet18").eval()
    image = torch.rand(1, 1, 32, 30)
    padded = torch.cat([image[..., 1:2], image, image[..., -2:-1]], dim=-1)
    with torch.no_grad():
        torch.testing.assert_close(net(image), net(padded)[..., 1:-1])


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_no_weights_are_fetched_without_a_name(encoder: str, fetches: list[str]) -> None:
    ResNetUNet(3, 1, encoder)
    assert fetches == []


@pytest.mark.parametrize(
    ("encoder", "weights", "asked"),
    [("resnet18", "imagenet", "smp-hub/resnet18.imagenet"), ("tu-resnet18", "a1_in1k", "resnet18.a1_in1k")],
)
def test_named_weights_are_fetched(encoder: str, weights: str, asked: str, fetches: list[str]) -> None:
    with pytest.raises(FetchedError):
        ResNetUNet(3, 1, encoder, weights)
    assert fetches == [asked]


@pytest.mark.parametrize("weights", [False, True, "", "imagnet"])
@pytest.mark.parametrize(("encoder", "choice"), [("resnet18", "imagenet"), ("tu-resnet18", "a1_in1k")])
def test_weights_that_do_not_exist_are_answered_with_the_choices(
    encoder: str, choice: str, weights: Any, fetches: list[str]
) -> None:
    with pytest.raises(
        ValueError, match=rf"encoder_weights={weights!r}\): expected null .* {encoder}, one of.* {choice}"
    ):
        ResNetUNet(3, 1, encoder, weights)
    assert fetches == []


@pytest.mark.parametrize(
    ("encoder", "match"), [("resnet43", "resnet34"), ("tu-resnt18", "tu-resnet18"), ("???", "resnet34")]
)
def test_unknown_encoder_is_answered_with_close_matches(encoder: str, match: str) -> None:
    with pytest.raises(ValueError, match=r"is unknown\. Did you mean .*" + match):
        ResNetUNet(3, 1, encoder)


def test_wrong_channels_are_named_with_the_key_to_set() -> None:
    net = ResNetUNet(3, 1, "resnet18")
    with pytest.raises(ValueError, match=r"ResNetUNet expects images \[N, 3, H, W\]; got \[1, 4, 32, 32\].*channels=4"):
        net(torch.zeros(1, 4, 32, 32))
