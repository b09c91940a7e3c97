"""Values as they stand in a cell of a table; nothing in them, whoever wrote it, moves a terminal's cursor."""

import json
import math
from typing import Any

_BRIEF = 50


def typed(value: Any) -> str:
    """Return a value as it is typed on the command line: [64,64], true, null."""
    if isinstance(value, str):
        return printable(value)
    try:
        return printable(json.dumps(value, default=str, separators=(",", ":"), ensure_ascii=False))
    except (TypeError, ValueError):  # keys that are no words, a number of thousands of digits
        return f"<{type(value).__name__}>"


def printable(text: str) -> str:
    """Return a text with line ends, escapes and what is no character written as Python writes them."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def short(value: Any) -> str:
    """Return a value of a config for a narrow cell: - for none."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else typed(value)


def brief(value: str | None) -> str:
    """Return the beginning of a sentence."""
    text = "-" if value is None else printable(value.partition("\n")[0])
    return text if len(text) <= _BRIEF else f"{text[: _BRIEF - 3]}..."


def score(value: float | None) -> str:
    """Return a score with four digits behind the point, or four in all where it is very small or large."""
    if value is None:
        return "-"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e3 else f"{value:.4g}"


def exact(value: float | None) -> str:
    """Return a score as far as float32 goes."""
    return "-" if value is None else f"{value:.8g}"


def whole(value: float | None) -> str:
    """Return a number without its fraction."""
    return "-" if value is None else f"{value:.0f}"


def clock(seconds: float | None) -> str:
    """Return h:mm:ss."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(math.floor(abs(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def share(done: float | None, of: float | None) -> str:
    """Return 3/20, or what of it is known."""
    if of is None or of < 0:  # -1: until it is stopped
        return whole(done)
    return f"{whole(done or 0)}/{whole(of)}"
