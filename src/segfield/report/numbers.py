"""Sections of the page that are numbers: tables and histograms, every word from the data escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from segfield.report.charts import bar, histogram

_CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}


def parts(facts: Mapping[str, Any]) -> str:
    """Return a table of the split's parts."""
    rows = [
        (name, row["samples"], row["groups"], _percent(row["empty"], row["samples"] - row["unusable"]), row["unusable"])
        for name, row in facts["parts"].items()
    ]
    if not rows:
        return ""
    text = f"{facts['unused']:,} samples are in no part, and were not read."
    note = f'<p class="soft small">{text}</p>' if facts["unused"] else ""
    return _titled("Parts", _table(("part", "samples", "groups", "empty masks", "cannot be used"), rows) + note)


def classes(facts: Mapping[str, Any], colours: Sequence[str]) -> str:
    """Return a table of the classes with the weights that they suggest, and the foreground's share."""
    if not facts["classes"]:
        return ""
    rows = ""
    for row, colour in zip(facts["classes"], colours, strict=True):
        drawn = "var(--n)" if colour == "#000000" else colour  # a black bar is none on a dark page
        weight = "-" if row["weight"] is None else f"{row['weight']:.4g}"
        rows += (
            f'<tr><td><span class="swatch" style="background:{escape(colour)}"></span>{escape(row["name"])}</td>'
            f'<td class="num">{100 * row["share"]:.4g} % {bar(row["share"], drawn)}</td>'
            f'<td class="num">{row["images"]:,}</td><td class="num">{weight}</td></tr>'
        )
    heads = ("pixels of the training part", "images", "weight")
    head = "<tr><th>class</th>" + "".join(f'<th class="num">{text}</th>' for text in heads) + "</tr>"
    said, found = "", facts["weights"]
    if found:
        key = next(iter(found))
        text = f"<code>{escape(key)}={escape(str(found[key]).replace(' ', ''))}</code>: {escape(found['formula'])}"
        said = f'<p class="small">Suggested: {text}.</p>'
    chart = histogram(facts["shares"]["histogram"], "foreground share per image", "grey")
    return (
        '<h2>Classes</h2><div class="columns"><div class="box"><table>'
        f"{head}{rows}</table>{said}</div>"
        f'<div class="box"><h3>Foreground share per image</h3>{chart}</div></div>'
    )


def channels(facts: Mapping[str, Any]) -> str:
    """Return statistics and histograms of the channels."""
    found = facts["channels"]
    if not found:
        return ""
    names = _CHANNELS.get(len(found), tuple(f"channel {place + 1}" for place in range(len(found))))
    boxes = rows = ""
    for name, row in zip(names, found, strict=True):
        colour = name if name in ("red", "green", "blue") else "grey"
        chart = histogram(row["histogram"], f"intensities, {name}", colour, {"mean": row["mean"]})
        boxes += f'<div class="box"><h3>{escape(name)}</h3>{chart}</div>'
        cells = [row["mean"], row["std"], row["min"], *row["percentiles"].values(), row["max"]]
        rows += f"<tr><td>{escape(name)}</td>{''.join(_number(f'{cell:.4g}') for cell in cells)}</tr>"
    heads = ["mean", "std", "min", *(f"{key} %" for key in found[0]["percentiles"]), "max"]
    head = "".join(f'<th class="num">{text}</th>' for text in heads)
    typed = " ".join(f"'{key}=[{','.join(map(str, values))}]'" for key, values in facts["suggested"].items())
    return (
        '<h2>Intensities of the training part</h2><div class="box">'
        f"<table><tr><th>channel</th>{head}</tr>{rows}</table>"
        f'<p class="small">To standardise by this data: <code>{escape(typed)}</code></p></div>'
        f'<div class="columns">{boxes}</div>'
    )


def files(facts: Mapping[str, Any]) -> str:
    """Return a table of what the files are."""
    columns = ("kinds", "modes", "sizes")
    rows = [(name, *(_listed(kinds[kind]) for kind in columns)) for name, kinds in facts["files"].items()]
    if not rows:
        return ""
    values = _listed(facts["mask_values"])
    said = f'<p class="small">Values in the masks\' files: {escape(values)}</p>' if values else ""
    return _titled("Files", _table(("file", "kinds", "modes", "sizes, H x W"), rows) + said)


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    numeric = [bool(rows) and all(isinstance(row[place], int) for row in rows) for place in range(len(heads))]
    head = "".join(
        f"<th{' class=num' if number else ''}>{escape(text)}</th>" for text, number in zip(heads, numeric, strict=True)
    )
    body = ""
    for row in rows:
        cells = (
            _number(f"{cell:,}") if number else f"<td>{escape(str(cell))}</td>"
            for cell, number in zip(row, numeric, strict=True)
        )
        body += f"<tr>{''.join(cells)}</tr>"
    return f"<table><tr>{head}</tr>{body}</table>"


def _listed(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{key} ({count:,})" for key, count in counts.items())


def _titled(title: str, inner: str) -> str:
    return f'<h2>{escape(title)}</h2><div class="box">{inner}</div>'


def _number(text: str) -> str:
    return f'<td class="num">{escape(text)}</td>'


def _percent(count: int, of: int) -> str:
    return f"{100 * count / of:.3g} %" if of else "-"
