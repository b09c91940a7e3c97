"""The U-Net decoder of segmentation_models_pytorch on any of its encoders, under segfield's names, for any image size.

Parameters, 3 channels in, 1 out: resnet34 24,436,369, resnet50 32,521,105. Names that begin with tu- are timm's.
"""

import difflib
from typing import final

from torch import Tensor, nn

from segfield.models.blocks import check_image
from segfield.spatial import centre_crop, pad_to_multiple

_STRIDE = 32  # of every encoder at smp's default depth of 5


@final
class ResNetUNet(nn.Module):
    """smp.Unet whose input is mirrored outwards to sides divisible by 32, centred, and whose logits are cropped back.

    Args:
        in_channels: C.
        out_channels: K.
        encoder: as in smp.encoders.get_encoder_names(), or tu-<timm architecture>.
        encoder_weights: None loads nothing. A name (imagenet; for tu- encoders timm's tag, such as a1_in1k) is fetched
            from the Hugging Face hub.

    Raises:
        ValueError: if the encoder or the weights are unknown.
    """

    def __init__(
        self, in_channels: int, out_channels: int, encoder: str = "resnet34", encoder_weights: str | None = None
    ) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp  # here: 2 s that runs of other networks need not wait

        _check_encoder(encoder, encoder_weights)
        self._in_channels = in_channels
        # For tu- encoders smp takes whatever is not None as "pretrained", and the tag from the encoder's name.
        timm_weights = encoder.startswith("tu-") and encoder_weights is not None
        self.net = smp.Unet(
            f"{encoder}.{encoder_weights}" if timm_weights else encoder,
            encoder_weights=True if timm_weights else encoder_weights,
            in_channels=in_channels,
            classes=out_channels,
        )

    def forward(self, image: Tensor) -> Tensor:
        """Map images to per-pixel logits.

        Args:
            image: [N, C, H, W], standardised; any H and W.

        Returns:
            Logits [N, K, H, W].

        Raises:
            ValueError: if C does not fit this network.
        """
        check_image(image, self._in_channels, "ResNetUNet")
        logits: Tensor = self.net(pad_to_multiple(image, _STRIDE))
        return centre_crop(logits, (image.shape[-2], image.shape[-1]))


def _check_encoder(encoder: str, encoder_weights: str | None) -> None:
    import timm
    from segmentation_models_pytorch.encoders import encoders

    names = [*encoders, *(f"tu-{name}" for name in timm.list_models())]
    if encoder not in names:
        close = difflib.get_close_matches(encoder, names) or ["resnet34", "resnet50"]
        raise ValueError(f"ResNetUNet(encoder={encoder!r}) is unknown. Did you mean {', '.join(close)}?")
    if encoder_weights is None:
        return
    if encoder in encoders:
        weights = list(encoders[encoder]["pretrained_settings"])
    else:
        weights = [name.partition(".")[2] for name in timm.list_pretrained(f"{encoder.removeprefix('tu-')}.*")]
    if encoder_weights not in weights:
        raise ValueError(
            f"ResNetUNet(encoder_weights={encoder_weights!r}): expected null (none are loaded) or, "
            f"for {encoder}, one of {', '.join(weights) or '(nothing)'}."
        )
