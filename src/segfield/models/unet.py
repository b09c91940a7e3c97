"""The U-Net: Ronneberger et al. 2015 (arXiv 1505.04597) and its padded, normalised descendants, as one class.

    UNet(1, 2, padding="valid", up="transposed", norm="none")    the paper: 31,030,658 parameters, 23 convolutions
    UNet(3, 1)                                                   milesial/Pytorch-UNet: 17,262,977
    UNet(3, 1, up="transposed")                                  the same with up-convolutions: 31,037,633
    UNet(3, 1, conv_bias=True)                                   ML-Drop: 17,267,393
    UNet(3, 1, width=32, up="transposed")                        mateuszbuda/brain-segmentation-pytorch: 7,763,041

Not here: the ReLU after each up-convolution and the 128 channels of the last one in the paper's Caffe files, which
its figure does not have. Weights come from the paper's rule in every variant.
"""

from typing import Literal, final, get_args

import torch
from torch import Tensor, nn

from segfield.models.blocks import Norm, check_image, double_conv, init_he_normal
from segfield.spatial import (
    centre_crop,
    mirror_extend,
    nearest_valid_sides,
    pad_to_multiple,
    valid_input_side,
)

Padding = Literal["same", "valid"]
Border = Literal["mirror", "none"]
Up = Literal["bilinear", "transposed"]


@final
class UNet(nn.Module):
    """Contract by `depth` poolings, expand again, and join the two paths level by level.

    Args:
        in_channels: C.
        out_channels: K.
        width: channels of the first level, doubled by each pooling.
        depth: number of poolings.
        padding: "same": 3x3 convolutions pad by zeros, and the image is mirrored outwards to sides divisible by
            2**depth, centred, and the logits are cropped back. "valid": convolutions do not pad.
        border: for padding="valid" only. "mirror": the image is extended by repeated reflection, centred, until the
            logits cover it. "none": logits are smaller than the image, which must have valid sides.
        up: "bilinear" interpolation (align_corners=True) with half the channels below, or "transposed": a 2x2
            up-convolution that halves the channels.
        norm: between each 3x3 convolution and its ReLU. Group norm: gcd(8, channels) groups.
        dropout: probability, at the end of the contracting path: after its last two levels, so on the deepest skip.
        conv_bias: of the 3x3 convolutions; None: only where no norm follows, whose mean would cancel it.

    Raises:
        ValueError: if an argument is none of the above.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        depth: int = 4,
        padding: Padding = "same",
        border: Border = "mirror",
        up: Up = "bilinear",
        norm: Norm = "batch",
        dropout: float = 0.0,
        conv_bias: bool | None = None,
    ) -> None:
        super().__init__()
        _check_numbers(in_channels=in_channels, out_channels=out_channels, width=width, depth=depth)
        _check_word("padding", padding, get_args(Padding))
        _check_word("border", border, get_args(Border))
        _check_word("up", up, get_args(Up))
        _check_word("norm", norm, get_args(Norm))
        if not 0 <= dropout < 1:
            raise ValueError(f"UNet(dropout={dropout}): expected a probability, 0 <= dropout < 1, such as 0.5.")
        self._in_channels, self._depth, self._padding, self._border = in_channels, depth, padding, border

        pad = 1 if padding == "same" else 0
        bias = norm == "none" if conv_bias is None else conv_bias
        channels = [width * 2**level for level in range(depth + 1)]
        if up == "bilinear":
            channels[-1] //= 2
        self.contract = nn.ModuleList(
            double_conv(n_in, n_out, n_out, pad, norm, bias)
            for n_in, n_out in zip([in_channels, *channels[:-1]], channels, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.upsample, self.expand = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(depth)):
            n = channels[level]
            transposed = up == "transposed"
            self.upsample.append(
                nn.ConvTranspose2d(2 * n, n, 2, stride=2)
                if transposed
                else nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            )
            self.expand.append(double_conv(2 * n, n, n if transposed or level == 0 else n // 2, pad, norm, bias))
        self.head = nn.Conv2d(width, out_channels, 1)
        self.apply(init_he_normal)

    def forward(self, image: Tensor) -> Tensor:
        """Map images to per-pixel logits.

        Args:
            image: [N, C, H, W], standardised; any H and W. With padding="valid" and border="none", H and W are valid
                sides: at depth 4 16k + 12, at least 188.

        Returns:
            Logits [N, K, H, W]; with padding="valid" and border="none" smaller, at depth 4 [N, K, H - 184, W - 184],
            about the same centre.

        Raises:
            ValueError: if C, H or W does not fit this network.
        """
        check_image(image, self._in_channels, "UNet")
        height, width = image.shape[-2:]
        if self._padding == "same":
            logits = self._logits(pad_to_multiple(image, 2**self._depth))
        elif self._border == "mirror":
            sides = valid_input_side(height, self._depth), valid_input_side(width, self._depth)
            logits = self._logits(mirror_extend(image, sides))
        else:
            _check_valid_sides(height, width, self._depth)
            return self._logits(image)
        return centre_crop(logits, (height, width))

    def _logits(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, block in enumerate(self.contract):
            x = block(x if level == 0 else self.pool(x))
            if level >= self._depth - 1:
                x = self.dropout(x)
            skips.append(x)
        skips.pop()
        for upsample, block in zip(self.upsample, self.expand, strict=True):
            x = upsample(x)
            skip = centre_crop(skips.pop(), (x.shape[-2], x.shape[-1]))
            x = block(torch.cat([skip, x], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _check_numbers(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"UNet({name}={value}): expected 1 or more.")


def _check_word(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"UNet({name}={value!r}): expected one of {', '.join(choices)}.")


def _check_valid_sides(height: int, width: int, depth: int) -> None:
    below_h, above_h = nearest_valid_sides(height, depth)
    below_w, above_w = nearest_valid_sides(width, depth)
    if (above_h, above_w) == (height, width):
        return
    step, least = 2**depth, nearest_valid_sides(0, depth)[1]
    form = f"{step}k + {least % step}" if least % step else f"{step}k"
    below = f"{below_h}x{below_w} or " if below_h and below_w else ""
    raise ValueError(
        f'UNet(padding="valid") needs H and W of the form {form} (>= {least}); got {height}x{width}. '
        f"Use {below}{above_h}x{above_w} (data.size=[{above_h},{above_w}]), model.border=mirror or model=unet."
    )
