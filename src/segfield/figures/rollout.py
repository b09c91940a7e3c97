"""A roll-out drawn: the densities of one ensemble by lead time, and the scores of many. Arrays in, uint8 images out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segfield.figures import Pixels
from segfield.figures.canvas import FONT, LINE, Box, Values, amounts, canvas, outline, signed
from segfield.figures.density import UNIT, extent_of, region_of, window

_TILE, _GAP, _EDGE = 110, 4, 4  # rows of a small map, pixels; between maps; at the frame
_ROWS, _RIGHT = 16, 66  # left of the maps, for the rows' names; right of them, for the colour bars
_PLOT, _LEFT, _BELOW = 190, 48, 32  # sides of the axes of a curve; for its numbers and names
# A line for who predicts: colours of Okabe and Ito, which the colour-blind tell apart, each with a dash of its own.
_LINES = (("#0072b2", "-", "o"), ("#d55e00", "--", "s"), ("#4d4d4d", ":", "^"), ("#009e73", "-.", "v"))
_TOP = {"mass_error": 0.01}  # the least that the axis of a score reaches: rounding is no error to look at
_HIGHER = ("iou",)  # scores that begin so are better where they are higher


def strip(
    truths: npt.ArrayLike,
    predictions: npt.ArrayLike,
    hours: Sequence[float],
    *,
    valid: npt.ArrayLike | None = None,
    east: npt.ArrayLike | None = None,
    north: npt.ArrayLike | None = None,
    title: str = "",
    columns: int = 7,
) -> Pixels:
    """Draw three rows of small maps by lead time: truth, prediction, and prediction - truth.

    All maps of a density share one scale, all differences another. The smallest regions that hold half of the mass are
    outlined, solid that of truth, dotted that of the prediction.

    Args:
        truths: [T, H, W], probability per cell.
        predictions: the same.
        hours: T lead times since the release, ascending.
        valid: [H, W] bool; None: all. The rest is grey.
        east: [H, W] of the cells' centres, km; None: cells are square.
        north: the same to the north.
        title: above all.
        columns: the most lead times; they are evenly spaced, the last one is among them.

    Returns:
        [h, w, 3].

    Raises:
        ValueError: if the shapes do not fit one another, or there is no lead time or column.
    """
    true, predicted = (100 * np.asarray(one, dtype=np.float64) for one in (truths, predictions))
    if true.ndim != 3 or true.shape != predicted.shape or len(hours) != len(true) or not len(true) or columns < 1:
        raise ValueError(
            f"strip needs truths and predictions [T, H, W], T hours and columns; got truths {list(true.shape)}, "
            f"predictions {list(predicted.shape)}, {len(hours)} hours, columns={columns}. Stack the lead times."
        )
    inside = np.ones(true.shape[1:], dtype=np.bool_) if valid is None else np.asarray(valid, dtype=np.bool_)
    true, predicted = (np.where(inside, one, np.nan) for one in (true, predicted))
    chosen = np.arange(len(true) - 1, -1, -math.ceil(len(true) / columns))[::-1]
    extent, names = extent_of(inside.shape, east, north)
    near = window(list(true[chosen]), predicted[-1], inside, extent)
    wide = max(40, round(_TILE * (near[1] - near[0]) / (near[3] - near[2])))
    scale, off = amounts(true), signed(predicted - true)
    rows = (("truth", true, scale), ("prediction", predicted, scale), ("difference", predicted - true, off))
    top = 2 * LINE + _EDGE
    width = _ROWS + len(chosen) * (wide + _GAP) + _RIGHT
    size = f"; a map is {near[1] - near[0]:.0f} x {near[3] - near[2]:.0f} km" if "km" in names[0] else ""
    with canvas(width, top + 3 * (_TILE + _GAP) + _EDGE) as drawing:
        drawing.text(_ROWS, _EDGE, f"{title}{size}", weight="bold")
        for line, (name, values, colours) in enumerate(rows):
            above = top + line * (_TILE + _GAP)
            drawing.text(_EDGE, above + _TILE / 2, name, rotation=90, va="center")
            for place, time in enumerate(chosen):
                box = Box(_ROWS + place * (wide + _GAP), above, wide, _TILE)
                axes = drawing.map(box, values[time], inside, colours, extent)
                axes.set(xlim=near[:2], ylim=near[2:], xticks=[], yticks=[])
                if line == 0:
                    axes.set_title(f"+{hours[time]:g} h", pad=3, fontsize="medium")
                dark = "black" if name == "difference" else "white"
                for density, style in ((true, "solid"), (predicted, "dotted")):
                    if name != ("prediction" if density is true else "truth"):
                        outline(axes, region_of(density[time], inside), extent, dark, style)
        right = _ROWS + len(chosen) * (wide + _GAP) + 2
        both = np.stack([true, predicted])
        drawing.bar(Box(right, top, 8, 2 * _TILE + _GAP), scale, UNIT, both)
        drawing.bar(Box(right, top + 2 * (_TILE + _GAP), 8, _TILE), off, UNIT, predicted - true)
        return drawing.pixels()


def curves(
    scores: Mapping[str, Mapping[str, npt.ArrayLike]],
    hours: Sequence[float],
    *,
    title: str = "",
    units: Mapping[str, str] | None = None,
) -> Pixels:
    """Draw scores against lead time, each in axes of its own, with a line for each of those who predict.

    Args:
        scores: by the score's name, by who predicts (network, persistence, mean; at most 4): T values, NaN for none.
        hours: T lead times since the release.
        title: above all.
        units: of the scores that have one.

    Returns:
        [h, w, 3].

    Raises:
        ValueError: if there is no score, or one has not T values.
    """
    from matplotlib.ticker import FuncFormatter

    if not scores:
        raise ValueError("curves needs at least one score; got none. Name them in metrics.")
    for name, lines in scores.items():
        for who, values in lines.items():
            if np.shape(values) != (len(hours),):
                raise ValueError(
                    f"curves needs {len(hours)} values of {name}, one for each lead time; got {list(np.shape(values))} "
                    f"of {who}. Give a value, or NaN, for each."
                )
    top = 2 * LINE + _EDGE
    with canvas(len(scores) * (_LEFT + _PLOT) + 2 * _EDGE, top + _PLOT + _BELOW) as drawing:
        drawing.text(_LEFT, _EDGE, title, weight="bold")
        for place, (name, lines) in enumerate(scores.items()):
            axes = drawing.axes(Box(_LEFT + place * (_LEFT + _PLOT), top, _PLOT, _PLOT))
            finite = _plotted(axes, lines, hours)
            unit = (units or {}).get(name, "")
            better = "higher" if name.startswith(_HIGHER) else "lower"
            axes.set_title(f"{name}{f' [{unit}]' if unit else ''}, {better} is better", pad=3, fontsize="medium")
            axes.set_xlabel("hours since the release", labelpad=1)
            if name.startswith(_HIGHER):
                axes.set_ylim(-0.02, 1.02)
            elif finite.size and finite.min() >= 0:
                axes.set_ylim(0, max(1.05 * float(finite.max()), _TOP.get(name, 0.0)) or 1.0)
            axes.set_xticks(hours[:: -(-len(hours) // 6)])
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:.3g}"))
            axes.grid(linewidth=0.3)
            if place == 0:
                axes.legend(fontsize=FONT - 0.5, framealpha=0.8)
        return drawing.pixels()


def _plotted(axes: Any, lines: Mapping[str, npt.ArrayLike], hours: Sequence[float]) -> Values:
    """Draw a line for each; return all finite values."""
    for (who, values), (colour, dash, marker) in zip(lines.items(), _LINES, strict=False):
        axes.plot(hours, values, dash, color=colour, marker=marker, markersize=3, linewidth=1.2, label=who)
    every = np.concatenate([np.asarray(values, dtype=np.float64).ravel() for values in lines.values()])
    finite: Values = every[np.isfinite(every)]
    return finite
