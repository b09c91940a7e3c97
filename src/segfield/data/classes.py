"""What names and numbers classes may have: they become names of scores, pixels of pictures, places in the loss."""

import re
from collections.abc import Sequence

import numpy as np

_MOST = 255  # a score holds a class in 8 bits, and 255 there for none
_EXAMPLE = "data.classes=[background,cell,debris] data.out_channels=3"


def check_classes(classes: Sequence[str], colours: Sequence[str] | None, channels: int) -> None:
    """Verify data.classes and data.colours.

    Args:
        classes: names, the background's first.
        colours: "#rrggbb" each; None: not given.
        channels: data.out_channels; the names of 1 are not looked at.

    Raises:
        ValueError: if their numbers differ, a name cannot be part of a score's, or a colour is none.
    """
    shown = f"[{','.join(map(str, classes))}]"
    if channels > 1 and len(classes) != channels:
        raise ValueError(
            f"data.out_channels={channels} needs as many data.classes, the background's first; got {len(classes)}, "
            f"{shown}. Use data.out_channels={len(classes)}, or for example {_EXAMPLE}; task=binary wants "
            "data.out_channels=1."
        )
    if channels > _MOST:
        raise ValueError(f"data.out_channels={channels} is more than {_MOST}, the most classes that a pixel can name.")
    for name in classes if channels > 1 else ():
        if not re.fullmatch(r"[\w-]+", str(name)):
            fit = re.sub(r"[^\w-]+", "_", str(name)).strip("_") or "thing"
            raise ValueError(
                f"data.classes={shown}: {name!r} becomes part of a score's name, val/dice_<class>, of letters, digits, "
                f"_ and -. Use {fit}."
            )
    if channels > 1 and len(set(classes)) < len(classes):
        raise ValueError(f"data.classes={shown} has a name twice. Give each class its own.")
    if colours is None:
        return
    wrong = [colour for colour in colours if not re.fullmatch(r"#[0-9a-fA-F]{6}", str(colour))]
    if wrong or len(colours) != len(classes):
        found = f"{wrong[0]!r}" if wrong else f"{len(colours)} for {len(classes)} classes"
        raise ValueError(
            f"data.colours must be one '#rrggbb' for each of data.classes, {shown}; got {found}. "
            "Use data.colours=null for the project's own."
        )


def check_numbers(name: str, target: np.ndarray, valid: np.ndarray | None, channels: int) -> None:
    """Verify that the classes of a truth are those that the network has.

    Args:
        name: of the sample.
        target: [H, W] integers or bool.
        valid: [1, H, W] bool, where the truth counts; None: everywhere.
        channels: data.out_channels; 1 knows 0 and 1.

    Raises:
        ValueError: if a pixel that counts is of a class beyond.
    """
    number = max(2, channels)
    if target.size == 0 or (target.max() < number and (target.dtype.kind != "i" or target.min() >= 0)):
        return
    beyond = (target >= number) | (target < 0)
    wrong = target[beyond if valid is None else beyond & valid[0]]
    if wrong.size == 0:
        return
    first = int(wrong.min()) if wrong.min() < 0 else int(wrong.max())
    fix = f", or use task=multiclass data.out_channels={first + 1} with {first + 1} names in data.classes"
    raise ValueError(
        f"{name}: {wrong.size} pixels are of a class beyond the classes 0 to {number - 1} of "
        f"data.out_channels={channels}, such as {first}. Correct the mask{fix if 0 < first < _MOST else ''}."
    )
