import pytest
import torch
from torch import nn

from segfield.models.blocks import check_image, double_conv, init_he_normal


@pytest.mark.parametrize(("channels", "groups"), [(64, 8), (12, 4), (6, 2), (5, 1)])
def test_group_norm_has_8_groups_or_fewer_where_8_does_not_divide_the_channels(channels: int, groups: int) -> None:
    norms = [m for m in double_conv(3, channels, channels, 1, "group", False).modules() if isinstance(m, nn.GroupNorm)]
    assert [norm.num_groups for norm in norms] == [groups, groups]


@pytest.mark.parametrize(
    "module", [nn.Conv2d(64, 32, 3), nn.Conv2d(64, 64, 1), nn.ConvTranspose2d(64, 32, 2, stride=2)]
)
def test_weights_start_with_the_papers_standard_deviation_and_biases_with_0(
    module: nn.Conv2d | nn.ConvTranspose2d,
) -> None:
    torch.manual_seed(0)
    init_he_normal(module)
    inputs = 64 * (9 if module.kernel_size == (3, 3) else 1)
    assert module.weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.05)
    assert module.bias is not None
    assert not module.bias.any()


def test_image_without_batch_axis_is_refused() -> None:
    with pytest.raises(ValueError, match=r"UNet expects images \[N, 3, H, W\]; got \[3, 16, 16\].*image\[None\]"):
        check_image(torch.zeros(3, 16, 16), 3, "UNet")
