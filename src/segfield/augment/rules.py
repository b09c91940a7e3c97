"""What flips and quarter turns do to the values of fields of the sea, beyond moving them: currents point elsewhere.

A batch may carry `rules`, a word for each channel of the image, and `aspect` [N], the width of a cell over its height.
Rows go to the north (latitude ascending) and columns to the east. A density is advected by displacements counted in
cells, U = u dt / dx columns and V = v dt / dy rows, and it is these that a picture takes along when it is moved:

    left and right change places    (U, V) -> (-U, V)    u' = -u
    top and bottom change places    (U, V) -> (U, -V)    v' = -v
    a quarter turn of torch.rot90   (U, V) -> (V, -U)    u' = v dx / dy = v aspect,   v' = -u dy / dx = -u / aspect
    two of them                     (U, V) -> (-U, -V)   as both flips
    three of them                   (U, V) -> (-V, U)    u' = -v aspect,   v' = u / aspect

rot90 takes the cell of row r and column c to row W - 1 - c and column r: a step east becomes one south, one north
becomes one east. Cells are not square in km, so a quarter turn also stretches the sea by the aspect: at 38 N, where
1/48 degree is 1.8 by 2.3 km, a round eddy becomes an ellipse of 1.6 to 1. It is a flow all the same, and what it does
to a density is exact; whether such seas help is for an experiment to say.

A stream function (sea surface height) has U = -k dh/drow and V = k dh/dcolumn with k = g dt / (f dx dy), the same for
both: a turn moves h as it is, a mirror image needs the other sign, taken about the mean of the sample's valid cells.
Temperature is moved like a picture. Where a network has nothing else to read currents from, mind that a mirror image
shows it warm eddies that spin the wrong way; turns do not: use quarter_turn alone.

These rules hold on an f-plane, where f and dx are the same in all rows. Left and right may change places on the sphere
too. The other moves put a row at another latitude: over 2 degrees about 38 N, from edge to edge (37 to 39 N) dx shrinks
by 2.7 % and f grows by 4.6 %. So a given current carries a density up to 2.7 % too far or too short in columns, and one
from sea surface height, by f dx, up to 1.8 %; in the middle row, and on average, by nothing.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from segfield.augment.pixels import Counts, Mask
from segfield.densities import RULES

SCALAR, EAST, NORTH, STREAM, NONE = RULES


def verify(rules: Sequence[str], *, flips: bool, turns: bool, warp: str, colour: bool) -> None:
    """Refuse changes that would show currents which no water follows; whatever is drawn.

    Args:
        rules: one word for each channel.
        flips: whether samples may be mirrored.
        turns: whether they may make a quarter turn.
        warp: "affine" or "elastic" where samples may be warped, else "".
        colour: whether values may be changed.

    Raises:
        ValueError: if a channel has no rule for a change, or one that is not known.
    """
    if unknown := [word for word in rules if word not in RULES]:
        raise ValueError(f"The rule {unknown[0]!r} of a channel is none of {', '.join(RULES)}. Use {SCALAR}.")
    other = next((place for place, word in enumerate(rules) if word != SCALAR), None)
    if warp and other is not None:
        raise ValueError(
            f"augmentation.{warp} has no rule for channel {other}, {rules[other]!r}: a field of the sea that is "
            f"stretched is none that water follows. Use augmentation=ocean, or ~augmentation.{warp}."
        )
    if colour:
        raise ValueError(
            "augmentation.colour changes the brightness of photographs, and these channels are fields of the sea in "
            "their units. Use augmentation=ocean, or ~augmentation.colour."
        )
    if (flips or turns) and NONE in rules:
        raise ValueError(
            f"Channel {rules.index(NONE)}, counted from 0 along data.inputs.variables, has no rule for "
            "flips and turns; u and v have theirs together and not standardised. Use augmentation=none, or "
            "'data.inputs.rules={<its name>: scalar}' for a field without a direction."
        )
    if turns and rules.count(EAST) != rules.count(NORTH):
        raise ValueError(
            f"augmentation.quarter_turn turns currents to the east into currents to the north, and here are "
            f"{rules.count(EAST)} channels of the one and {rules.count(NORTH)} of the other. Give both to "
            f"data.inputs.variables, or use augmentation.quarter_turn=0."
        )


def obey(
    image: Tensor, rules: Sequence[str], aspect: Tensor | None, valid: Tensor | None, flips: Mask, turns: Counts
) -> Tensor:
    """Change the values as the flips, then the turns, ask for; the pixels stay where they are.

    Args:
        image: [N, C, H, W], float.
        rules: C words; the first "east" belongs to the first "north", and so on.
        aspect: [N]; needed where a sample is turned and has currents.
        valid: [N, 1, H, W], or None: everywhere. Beyond it, a 0 fills a field up and stays 0.
        flips: [N, 2], left with right and top with bottom.
        turns: [N], quarter turns, 0 to 3.

    Returns:
        A new tensor, or the image where nothing changes. A sample does not depend on the others in any bit.

    Raises:
        ValueError: if the image has another number of channels than there are rules.
    """
    if len(rules) != image.shape[1]:
        raise ValueError(f"The image has {image.shape[1]} channels and {len(rules)} rules: there is one for each.")
    at = {word: [place for place, rule in enumerate(rules) if rule == word] for word in (EAST, NORTH, STREAM)}
    back = turns >= 2
    signs = np.ones(image.shape[:2], dtype=np.float32)
    signs[:, at[EAST]] = np.where(flips[:, 0] ^ back, -1, 1)[:, None]
    signs[:, at[NORTH]] = np.where(flips[:, 1] ^ back, -1, 1)[:, None]
    turned = np.flatnonzero(turns % 2) if at[EAST] else np.empty(0, dtype=np.int64)
    mirrored = np.flatnonzero(flips[:, 0] ^ flips[:, 1]) if at[STREAM] else np.empty(0, dtype=np.int64)
    if (signs == 1).all() and len(turned) == 0 and len(mirrored) == 0:
        return image
    result = image * torch.from_numpy(signs).to(image)[:, :, None, None]
    if len(turned):
        assert aspect is not None, "currents come with the aspect of their cells"
        rows = torch.from_numpy(turned).to(image.device)
        factor = aspect.to(image)[rows, None, None]
        for east, north in zip(at[EAST], at[NORTH], strict=True):
            u, v = result[rows, east], result[rows, north]
            result[rows, east], result[rows, north] = v * factor, -u / factor
    for row in mirrored.tolist():
        inside = torch.ones_like(image[0, :1], dtype=torch.bool) if valid is None else valid[row]
        for place in at[STREAM]:
            result[row, place] = _mirrored(image[row, place], inside[0])
    return result


def _mirrored(stream: Tensor, valid: Tensor) -> Tensor:
    """Turn a field [H, W] about its mean over the valid cells."""
    # One sample at a time: how a mean is summed up may depend on the size of the batch.
    mean = torch.where(valid, stream, 0).sum() / valid.sum().clamp(min=1)
    return torch.where(valid | (stream != 0), 2 * mean - stream, stream)
