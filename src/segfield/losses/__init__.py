"""Losses that torch and segmentation_models_pytorch lack; each is called (logits, target, weight, valid).

A loss is computed per image and averaged over images, so that its mean over a set does not depend on how the set is cut
into batches or ranks. Losses that torch has (cross-entropy, squared error) are not repeated here.
"""

from collections.abc import Sequence
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
        pos_weight: factor of the cross-entropy of foreground pixels, above 0; the Dice term balances by itself.

    Raises:
        ValueError: if an argument is outside its range, or both factors are 0.
    """

    def __init__(
        self, smooth: float = 1.0, bce_weight: float = 1.0, dice_weight: float = 1.0, pos_weight: float = 1.0
    ) -> None:
        super().__init__()
        if not 0 < pos_weight < float("inf"):
            raise ValueError(f"BCEDice needs pos_weight > 0; got {pos_weight}. Use loss.pos_weight=1.0 for none.")
        _check_factors("BCEDice", smooth, bce_weight=bce_weight, dice_weight=dice_weight)
        self.smooth = smooth
        self.bce_weight = bce_weight
        self.dice_weight = dice_weight
        self.pos_weight = pos_weight

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
        if logits.ndim != 4 or logits.shape[1] != 1:
            raise ValueError(
                f"BCEDice needs logits [N, 1, H, W]; got {list(logits.shape)} for a target {list(target.shape)}. Use "
                "data.out_channels=1 (task=binary), or task=multiclass for several classes."
            )
        _check_shapes("BCEDice", logits, target, weight, valid)
        # Python's float() first: none of the operations below is one that autocast would take to bfloat16 again.
        logits, truth = logits.float(), target.unsqueeze(1).float()
        if valid is None:
            outside, pixels = None, logits.new_full(logits.shape[:1], logits.shape[2] * logits.shape[3])
        else:
            # Filled, not multiplied by 0: 0 * NaN is NaN.
            outside, pixels = ~valid, valid.flatten(1).sum(1)
            logits, truth = logits.masked_fill(outside, 0), truth.masked_fill(outside, 0)
        if self.pos_weight != 1:
            factor = torch.where(truth > 0, self.pos_weight, 1.0)
            weight = factor if weight is None else weight * factor
        bce = F.binary_cross_entropy_with_logits(logits, truth, weight=weight, reduction="none")
        probability = torch.sigmoid(logits)
        if outside is not None:
            bce, probability = bce.masked_fill(outside, 0), probability.masked_fill(outside, 0)
        bce_of_image = bce.flatten(1).sum(1) / pixels.clamp(min=1)
        common = (probability * truth).flatten(1).sum(1)
        total = probability.flatten(1).sum(1) + truth.flatten(1).sum(1)
        dice_of_image = 1 - (2 * common + self.smooth) / (total + self.smooth)
        return (self.bce_weight * bce_of_image + self.dice_weight * dice_of_image).mean()


@final
class CEDice(nn.Module):
    """Cross-entropy plus soft Dice of each foreground class, for K >= 2 output channels; 0 is perfect.

    Both terms are computed in float32, whatever the logits come in. The cross-entropy of an image is the sum of
    weight * class weight * cross-entropy over its valid pixels, divided by their number. Its Dice term, in [0, 1), is
    the mean over the classes 1 to K - 1 of 1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth) over the valid
    pixels, unweighted; p probability of the class, t 1 where it is the true one. A class that an image lacks takes
    part: there its false positives cost something. An image without a valid pixel contributes 0, and counts as one.

    Args:
        smooth: pixels; above 0, see BCEDice.
        ce_weight: factor of the cross-entropy, at least 0.
        dice_weight: factor of the Dice term, at least 0.
        class_weights: factor of each class's pixels in the cross-entropy, K numbers, the background's first; None: 1.

    Raises:
        ValueError: if an argument is outside its range, or both factors are 0.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        smooth: float = 1.0,
        ce_weight: float = 1.0,
        dice_weight: float = 1.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        _check_factors("CEDice", smooth, ce_weight=ce_weight, dice_weight=dice_weight)
        if class_weights is not None and not (min(class_weights, default=-1) >= 0 and sum(class_weights) > 0):
            raise ValueError(
                "CEDice needs class_weights of at least 0, one of them above 0; got "
                f"loss.class_weights={list(class_weights)}. Use loss.class_weights=null for 1 each."
            )
        self.smooth, self.ce_weight, self.dice_weight = smooth, ce_weight, dice_weight
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        # Not persistent: they stand in the config, and a checkpoint holds what was learnt.
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(
        self, logits: Tensor, target: Tensor, weight: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """Average the loss over the images of a batch.

        Args:
            logits: [N, K, H, W].
            target: [N, H, W], 0 to K - 1; anything where not valid.
            weight: [N, 1, H, W], at least 0; None: 1 everywhere.
            valid: [N, 1, H, W] bool; None: all. Values outside, NaN included, reach neither the loss nor a gradient.

        Returns:
            A float32 scalar, at least 0.

        Raises:
            ValueError: if the shapes do not fit one another, or class_weights is not K numbers.
        """
        self._check_classes(logits, target)
        _check_shapes("CEDice", logits, target, weight, valid)
        logits = logits.float()
        # Not F.one_hot, which waits for the device, nor gather, whose gradient has no order there.
        truth = target.unsqueeze(1) == torch.arange(logits.shape[1], device=target.device).view(1, -1, 1, 1)
        if valid is None:
            outside, pixels = None, logits.new_full(logits.shape[:1], logits.shape[2] * logits.shape[3])
        else:
            outside, pixels = ~valid, valid.flatten(1).sum(1)
            logits, truth = logits.masked_fill(outside, 0), truth & valid
        logarithm = F.log_softmax(logits, dim=1)
        ce = -logarithm.masked_fill(~truth, 0)
        if self.class_weights is not None:
            ce = ce * self.class_weights.view(1, -1, 1, 1)
        ce = ce.sum(1, keepdim=True)
        if weight is not None:
            ce = ce * weight.float()
        # The Dice term is the foreground's.
        probability, truth = logarithm[:, 1:].exp(), truth[:, 1:]
        if outside is not None:
            ce, probability = ce.masked_fill(outside, 0), probability.masked_fill(outside, 0)
        ce_of_image = ce.flatten(1).sum(1) / pixels.clamp(min=1)
        common = probability.masked_fill(~truth, 0).flatten(2).sum(2)
        total = probability.flatten(2).sum(2) + truth.flatten(2).sum(2, dtype=torch.int32)
        dice_of_image = (1 - (2 * common + self.smooth) / (total + self.smooth)).mean(1)
        return (self.ce_weight * ce_of_image + self.dice_weight * dice_of_image).mean()

    def _check_classes(self, logits: Tensor, target: Tensor) -> None:
        if logits.ndim != 4 or logits.shape[1] < 2:
            raise ValueError(
                f"CEDice needs logits [N, K, H, W] of K >= 2 classes; got {list(logits.shape)} for a target "
                f"{list(target.shape)}. Use data.out_channels=<K> with K names in data.classes, or task=binary."
            )
        if self.class_weights is not None and len(self.class_weights) != logits.shape[1]:
            raise ValueError(
                f"loss.class_weights has {len(self.class_weights)} numbers for {logits.shape[1]} classes. Give one per "
                "class, the background's first, or loss.class_weights=null."
            )


def _check_factors(name: str, smooth: float, **factors: float) -> None:
    """Refuse settings of a loss outside their range."""
    if not smooth > 0:
        raise ValueError(f"{name} needs smooth > 0 (pixels), for images with an empty mask; got {smooth}. Use 1.0.")
    if not (all(factor >= 0 for factor in factors.values()) and sum(factors.values()) > 0):
        given = ", ".join(f"{word}={factor}" for word, factor in factors.items())
        raise ValueError(
            f"{name} needs {' and '.join(factors)} of at least 0, one of them above 0; got {given}. Use 1.0 and 1.0."
        )


def _check_shapes(name: str, logits: Tensor, target: Tensor, weight: Tensor | None, valid: Tensor | None) -> None:
    """Refuse shapes that broadcasting would accept and count wrongly."""
    one = (logits.shape[0], 1, *logits.shape[2:])
    if target.shape != logits.shape[:1] + logits.shape[2:]:
        if target.ndim == 4 and target.is_floating_point():
            raise ValueError(
                f"{name} is a loss of classes; this target {list(target.shape)} is of densities. Use task=density."
            )
        raise ValueError(
            f"{name} needs a target [N, H, W] in H and W of the logits; got target {list(target.shape)} "
            f"for logits {list(logits.shape)}. Crop or pad the target to the network's output."
        )
    for word, extra in (("weight", weight), ("valid", valid)):
        if extra is not None and extra.shape != one:
            raise ValueError(
                f"{name} needs {word} [N, 1, H, W] in H and W of the logits; got {word} {list(extra.shape)} "
                f"for logits {list(logits.shape)}. Crop or pad it like the target."
            )
