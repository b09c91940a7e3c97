"""A matplotlib figure measured in pixels, without pyplot: axes where they are put, the same bits for the same input.

What a user has set in matplotlibrc changes nothing here. Colour scales that the colour-blind can read, and that stay
in order in grey: viridis for amounts, RdBu for what has a sign.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segfield.figures import Mask, Pixels

Values = npt.NDArray[Any]
LAND = "#a6a6a6"
AMOUNT, SIGNED = "viridis", "RdBu_r"
DPI = 100
FONT = 7.0  # points: 10 pixels
LINE = 14  # pixels of a line of text


class Scale(NamedTuple):
    """Colours of values: the name of a colour map and its ends."""

    colours: str
    low: float
    high: float


class Box(NamedTuple):
    """Where axes lie: pixels from the left and from the top of the figure."""

    left: float
    top: float
    width: float
    height: float


@contextlib.contextmanager
def canvas(width: int, height: int) -> Iterator["Canvas"]:
    """Open a white figure of so many pixels; Canvas.pixels() draws it.

    matplotlib is imported here: commands that draw nothing start without it.
    """
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style.context(["default", {"font.size": FONT, "axes.linewidth": 0.6}]):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        FigureCanvasAgg(figure)
        yield Canvas(figure)


class Canvas:
    """An open figure; see canvas()."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure
        self._width, self._height = figure.get_size_inches() * DPI

    def axes(self, box: Box) -> Any:
        """Add axes."""
        low = self._height - box.top - box.height
        place = (box.left / self._width, low / self._height, box.width / self._width, box.height / self._height)
        axes = self.figure.add_axes(place)
        axes.tick_params(length=2, width=0.6, pad=2)
        return axes

    def text(self, left: float, top: float, words: str, **how: Any) -> None:
        """Write words whose upper left corner is there."""
        place = left / self._width, 1 - top / self._height
        self.figure.text(*place, words, **{"ha": "left", "va": "top", **how})

    def map(self, box: Box, values: Values, valid: Mask, scale: Scale, extent: tuple[float, ...]) -> Any:
        """Draw a map [H, W], row 0 in the south, each cell a rectangle of its colour, land grey; return its axes.

        Args:
            box: of the map.
            values: [H, W].
            valid: [H, W] bool: what is not land.
            scale: of the values; beyond its ends they have the colours of the ends.
            extent: of the outer edges: west, east, south, north.
        """
        import matplotlib as mpl

        axes = self.axes(box)
        shown = np.ma.masked_array(np.asarray(values, dtype=np.float64), ~(valid & np.isfinite(values)))
        colours = mpl.colormaps[scale.colours].with_extremes(bad=LAND)
        how = {"origin": "lower", "extent": extent, "aspect": "auto", "interpolation": "nearest"}
        axes.imshow(shown, cmap=colours, vmin=scale.low, vmax=scale.high, **how)
        return axes

    def bar(self, box: Box, scale: Scale, unit: str, values: Values) -> None:
        """Draw the colours of a scale from the bottom up; an arrow where some of the values lie beyond its end.

        Args:
            box: of the bar.
            scale: whose colours.
            unit: of its numbers.
            values: any that it was used for; NaN does not count.
        """
        import matplotlib as mpl
        from matplotlib.cm import ScalarMappable
        from matplotlib.colorbar import Colorbar
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        slack = 0.01 * (scale.high - scale.low)
        finite = values[np.isfinite(values)]
        below, above = bool((finite < scale.low - slack).any()), bool((finite > scale.high + slack).any())
        extend: Any = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
        norm = mpl.colors.Normalize(scale.low, scale.high)
        bar = Colorbar(self.axes(box), ScalarMappable(norm, mpl.colormaps[scale.colours]), extend=extend)
        bar.locator = MaxNLocator(5)
        bar.formatter = FuncFormatter(lambda value, place: f"{0 if abs(value) < slack else value:.3g}")
        bar.ax.tick_params(length=2, width=0.6, pad=1)
        bar.set_label(unit, labelpad=2)
        bar.outline.set_linewidth(0.6)

    def pixels(self) -> Pixels:
        """Draw the figure: [h, w, 3]."""
        self.figure.canvas.draw()
        drawn: Pixels = np.asarray(self.figure.canvas.buffer_rgba())[:, :, :3].copy()
        return drawn


def amounts(values: Values) -> Scale:
    """Return a scale from 0 to the largest of some values."""
    return Scale(AMOUNT, 0.0, float(np.max(values, initial=0.0, where=np.isfinite(values))) or 1.0)


def signed(values: Values) -> Scale:
    """Return a scale whose middle, white, is 0."""
    most = float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values))) or 1.0
    return Scale(SIGNED, -most, most)


def between(values: Values) -> Scale:
    """Return a scale from the smallest to the largest of some values."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return Scale(AMOUNT, low, high if high > low else low + 1.0)


def frame(axes: Any, edges: tuple[float, ...]) -> None:
    """Draw a rectangle, west, east, south, north, that is seen on any colours."""
    from matplotlib.patches import Rectangle

    for colour, width in (("white", 2.0), ("black", 0.8)):
        size = edges[1] - edges[0], edges[3] - edges[2]
        axes.add_patch(Rectangle((edges[0], edges[2]), *size, fill=False, edgecolor=colour, linewidth=width))


def outline(axes: Any, region: Mask, extent: tuple[float, ...], colour: str, style: str = "solid") -> None:
    """Draw the edges of the cells where a region [H, W] ends; the frame ends none."""
    from matplotlib.collections import LineCollection

    rows, columns = region.shape
    x = np.linspace(extent[0], extent[1], columns + 1)
    y = np.linspace(extent[2], extent[3], rows + 1)
    row, column = np.nonzero(region[:, 1:] != region[:, :-1])
    upright = np.stack([np.stack([x[column + 1], y[row]], -1), np.stack([x[column + 1], y[row + 1]], -1)], 1)
    row, column = np.nonzero(region[1:] != region[:-1])
    level = np.stack([np.stack([x[column], y[row + 1]], -1), np.stack([x[column + 1], y[row + 1]], -1)], 1)
    lines = np.concatenate([upright, level])
    if len(lines):
        axes.add_collection(LineCollection(list(lines), colors=colour, linewidths=0.9, linestyles=style))
