"""What the networks share: the double convolution, its normalisation, the paper's initialisation, the channel check."""

import math
from typing import Literal

from torch import Tensor, nn

Norm = Literal["batch", "group", "none"]


def double_conv(in_channels: int, mid_channels: int, out_channels: int, pad: int, norm: Norm, bias: bool) -> nn.Module:
    """Twice (3x3 convolution, normalisation, ReLU); each convolution takes 2 - 2 * pad pixels off H and W."""
    layers: list[nn.Module] = []
    for n_in, n_out in ((in_channels, mid_channels), (mid_channels, out_channels)):
        layers += [nn.Conv2d(n_in, n_out, 3, padding=pad, bias=bias), *_norm(norm, n_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _norm(norm: Norm, channels: int) -> list[nn.Module]:
    """Group norm takes the largest power of two up to 8 that divides the channels as its number of groups."""
    if norm == "none":
        return []
    return [nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(math.gcd(8, channels), channels)]


def init_he_normal(module: nn.Module) -> None:
    """Draw convolution weights from N(0, 2 / n) with n the inputs of one output pixel; biases become 0.

    For `nn.Module.apply`. Without a norm the deep U-Net does not train from torch's default. An up-convolution must
    have its stride as kernel: then n is its input channels alone.
    Reference: Ronneberger et al. 2015, Sec. 3; He et al. 2015, arXiv 1502.01852.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        area = 1 if isinstance(module, nn.ConvTranspose2d) else math.prod(module.kernel_size)
        nn.init.normal_(module.weight, std=math.sqrt(2 / (module.in_channels * area)))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def check_image(image: Tensor, in_channels: int, network: str) -> None:
    """Raise ValueError unless image is [N, in_channels, H, W]."""
    if image.ndim == 4 and image.shape[1] == in_channels:
        return
    fix = f"Set data.in_channels={image.shape[1]}" if image.ndim == 4 else "Give a batch of images (image[None])"
    raise ValueError(f"{network} expects images [N, {in_channels}, H, W]; got {list(image.shape)}. {fix}.")
