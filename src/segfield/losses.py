"""Losses that torch and segmentation_models_pytorch lack; each is called (logits, target, weight, valid).

A loss is computed per image and averaged over images, so that its mean over a set does not depend on how the set is cut
into batches or ranks. Losses that torch has (cross-entropy, squared error) are not repeated here.
"""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@final
class BCEDice(nn.Module):
    """Binary cross-entropy plus soft Dice, for one output channel; 0 is perfect.

    Both terms are computed in float32, whatever the logits come in. The cross-entropy of an image is the sum of
    weight * cross-entropy over its valid pixels, divided by their number. Its Dice term, in [0, 1), is
    1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth) over the valid pixels, unweighted; p probability, t target.
    An image without a valid pixel contributes 0, and counts as an image.

    Args:
        smooth: pixels; above 0. It makes false positives on an empty mask cost something: the product of the mask with
            the prediction, on which smp's DiceLoss relies, is 0 there whatever is predicted.
        bce_weight: factor of the cross-entropy, at least 0.
        dice_weight: factor of the Dice term, at least 0.

    Raises:
        ValueError: if an argument is outside its range, or both factors are 0.
    """

    def __init__(self, smooth: float = 1.0, bce_weight: float = 1.0, dice_weight: float = 1.0) -> None:
        super().__init__()
        if not smooth > 0:
            raise ValueError(
                f"BCEDice needs smooth > 0 (pixels), for images with an empty mask; got {smooth}. Use 1.0."
            )
        if not (bce_weight >= 0 and dice_weight >= 0 and bce_weight + dice_weight > 0):
            raise ValueError(
                "BCEDice needs bce_weight and dice_weight of at least 0, one of them above 0; "
                f"got bce_weight={bce_weight}, dice_weight={dice_weight}. Use 1.0 and 1.0."
            )
        self.smooth = smooth
        self.bce_weight = bce_weight
        self.dice_weight = dice_weight

    def forward(
        self, logits: Tensor, target: Tensor, weight: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """Average the loss over the images of a batch.

        Args:
            logits: [N, 1, H, W].
            target: [N, H, W], 0 or 1.
            weight: [N, 1, H, W], at least 0; None: 1 everywhere.
            valid: [N, 1, H, W] bool; None: all. Values outside, NaN included, reach neither the loss nor a gradient.

        Returns:
            A float32 scalar, at least 0.

        Raises:
            ValueError: if the shapes do not fit one another.
        """
        _check_shapes(logits, target, weight, valid)
        # Python's float() first: none of the operations below is one that autocast would take to bfloat16 again.
        logits, truth = logits.float(), target.unsqueeze(1).float()
        if valid is None:
            outside, pixels = None, logits.new_full(logits.shape[:1], logits.shape[2] * logits.shape[3])
        else:
            # Filled, not multiplied by 0: 0 * NaN is NaN.
            outside, pixels = ~valid, valid.flatten(1).sum(1)
            logits, truth = logits.masked_fill(outside, 0), truth.masked_fill(outside, 0)
        bce = F.binary_cross_entropy_with_logits(logits, truth, weight=weight, reduction="none")
        probability = torch.sigmoid(logits)
        if outside is not None:
            bce, probability = bce.masked_fill(outside, 0), probability.masked_fill(outside, 0)
        bce_of_image = bce.flatten(1).sum(1) / pixels.clamp(min=1)
        common = (probability * truth).flatten(1).sum(1)
        total = probability.flatten(1).sum(1) + truth.flatten(1).sum(1)
        dice_of_image = 1 - (2 * common + self.smooth) / (total + self.smooth)
        return (self.bce_weight * bce_of_image + self.dice_weight * dice_of_image).mean()


def _check_shapes(logits: Tensor, target: Tensor, weight: Tensor | None, valid: Tensor | None) -> None:
    """Refuse shapes that broadcasting would accept and count wrongly."""
    if logits.ndim != 4 or logits.shape[1] != 1:
        raise ValueError(
            f"BCEDice needs logits [N, 1, H, W]; got {list(logits.shape)} for a target {list(target.shape)}. "
            "Use a network with one output channel (task=binary)."
        )
    if target.shape != logits.shape[:1] + logits.shape[2:]:
        raise ValueError(
            f"BCEDice needs a target [N, H, W] for logits [N, 1, H, W]; got target {list(target.shape)} "
            f"for logits {list(logits.shape)}. Crop or pad the target to the network's output."
        )
    for name, extra in (("weight", weight), ("valid", valid)):
        if extra is not None and extra.shape != logits.shape:
            raise ValueError(
                f"BCEDice needs {name} in the shape of the logits, [N, 1, H, W]; got {name} {list(extra.shape)} "
                f"for logits {list(logits.shape)}. Crop or pad it like the target."
            )
