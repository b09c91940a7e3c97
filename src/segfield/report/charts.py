"""Histograms as inline SVG: they take the page's colours, light or dark, and stay sharp."""

from collections.abc import Mapping
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 320, 120  # of the bars; units of the viewBox
_LEFT, _BELOW, _ABOVE = 8, 20, 8


def histogram(found: Mapping[str, Any], label: str, colour: str, marks: Mapping[str, float] | None = None) -> str:
    """Draw bars.

    Args:
        found: low, high and counts; the bars' heights are relative to the highest.
        label: what is counted, for readers who hear the page.
        colour: a class of the page's style.
        marks: places to point out by name, in the units of low and high.
    """
    counts, low, high = found["counts"], found["low"], found["high"]
    top, step = max(counts) or 1, _WIDTH / len(counts)
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH + 2 * _LEFT} {_HEIGHT + _ABOVE + _BELOW}" role="img" '
        f'aria-label="{escape(label)}">'
    ]
    parts += [f'<g class="{escape(colour)}">']
    for place, count in enumerate(counts):
        if count:
            height = max(1.0, _HEIGHT * count / top)
            x, y = _LEFT + place * step, _ABOVE + _HEIGHT - height
            edges = (low + (place + more) * (high - low) / len(counts) for more in (0, 1))
            span = " to ".join(f"{edge:.3g}" for edge in edges)
            place_and_size = f'x="{x:.1f}" y="{y:.1f}" width="{max(step - 0.6, 0.6):.2f}" height="{height:.1f}"'
            parts.append(f"<rect {place_and_size}><title>{span}: {count:,}</title></rect>")
    parts.append("</g>")
    base = _ABOVE + _HEIGHT
    parts.append(f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{_LEFT + _WIDTH}" y2="{base}"/>')
    for name, value in (marks or {}).items():
        x = _LEFT + _WIDTH * (value - low) / ((high - low) or 1)
        ends = f'x1="{x:.1f}" y1="{_ABOVE}" x2="{x:.1f}" y2="{base}"'
        parts.append(f'<line class="mark" {ends}><title>{escape(name)}</title></line>')
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        text = f"{low + share * (high - low):.3g}"
        parts.append(f'<text x="{_LEFT + share * _WIDTH:.0f}" y="{base + 15}" text-anchor="{anchor}">{text}</text>')
    return "".join([*parts, "</svg>"])


def bar(share: float, colour: str) -> str:
    """Draw a share in [0, 1] as a bar of a table's cell; colour is a CSS colour."""
    return f'<span class="bar"><span style="width:{100 * share:.2f}%;background:{escape(colour)}"></span></span>'
