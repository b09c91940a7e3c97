"""The page itself: sections of HTML, every word from the data escaped, every picture inside the file."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from segfield.report.charts import bar, histogram
from segfield.report.style import CSS

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # a browser then loads and runs nothing else
_LISTED = 200  # names of a finding; audit.json has all
_CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}


class Shown(NamedTuple):
    """A sample to look at: pictures as data: URIs, and the words below them."""

    pictures: Sequence[str]
    name: str
    tags: Sequence[str]


def page(
    facts: Mapping[str, Any],
    errors: Sequence[Any],
    warnings: Sequence[Any],
    gallery: Sequence[Shown],
    alike: Sequence[Shown],
    colours: Sequence[str],
    augmented: str | None = None,
) -> str:
    """Return the whole page.

    Args:
        facts: of an audit, with title, place, command, when, seconds.
        errors: findings: kind, what, mend, names.
        warnings: likewise.
        gallery: samples of every part.
        alike: pairs of suspicious images.
        colours: of the classes, CSS.
        augmented: a sheet as data: URI.
    """
    sections = [
        _head(facts, errors, warnings),
        _cards(facts),
        _findings("What would make training wrong", "bad", errors),
        _findings("Worth a look", "warn", warnings),
        _alike(alike),
        _parts(facts),
        _classes(facts, colours),
        _channels(facts),
        _files(facts),
        _gallery(facts, gallery),
        _augmented(augmented),
        f"<footer>{escape(facts['when'])} in {facts['seconds']:.1f} s: <code>{escape(facts['command'])}</code></footer>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Audit of {escape(facts['title'])}</title><style>{CSS}</style></head><body><main>"
        + "\n".join(section for section in sections if section)
        + "</main></body></html>\n"
    )


def _head(facts: Mapping[str, Any], errors: Sequence[Any], warnings: Sequence[Any]) -> str:
    if errors:
        kind, text = "bad", f"Training would go wrong: {_counted(len(errors), 'fault')} to mend first"
    elif warnings:
        kind, text = "warn", f"Training can start; {_counted(len(warnings), 'matter')} worth a look"
    else:
        kind, text = "good", "Nothing found that would make training wrong"
    place = f'<p class="soft path">{escape(facts["place"])}</p>' if facts["place"] else ""
    return f'<h1>Audit of {escape(facts["title"])}</h1>{place}<div class="banner {kind}">{escape(text)}.</div>'


def _cards(facts: Mapping[str, Any]) -> str:
    sound = facts["sound"]
    size = "own sizes" if facts["size"] is None else "x".join(map(str, facts["size"]))
    shown = [(f"{facts['samples']:,}", "samples"), (f"{facts['groups']:,}", "groups"), (size, "read at, H x W")]
    if sound:
        empty = facts["shares"]["empty"]
        shown += [(f"{100 * facts['shares']['mean']:.3g} %", "foreground, mean of images")]
        shown += [(f"{100 * empty / sound:.3g} %", f"empty masks ({empty:,})")]
    if facts["samples"] != sound:
        shown += [(f"{facts['samples'] - sound:,}", "cannot be used")]
    inner = "".join(
        f'<div class="card"><b>{escape(b)}</b><span class="soft small">{escape(t)}</span></div>' for b, t in shown
    )
    return f'<div class="cards">{inner}</div>'


def _findings(title: str, colour: str, findings: Sequence[Any]) -> str:
    if not findings:
        return ""
    inner = ""
    for kind, what, mend, names in findings:
        listed = "".join(f'<li class="path">{escape(name)}</li>' for name in names[:_LISTED])
        more = f"<li>and {len(names) - _LISTED:,} more in audit.json</li>" if len(names) > _LISTED else ""
        opened = " open" if len(names) <= 5 else ""
        details = (
            f'<details{opened}><summary>{_counted(len(names), "name")}</summary><ul class="names">{listed}{more}</ul></details>'
            if names
            else ""
        )
        inner += (
            f'<div class="finding {colour}"><h3>{escape(kind)}: {escape(what)}</h3><p>{escape(mend)}</p>{details}</div>'
        )
    return f"<h2>{title}</h2>{inner}"


def _alike(pairs: Sequence[Shown]) -> str:
    return f'<h2>Images that are the same, or nearly</h2><div class="gallery">{_figures(pairs)}</div>' if pairs else ""


def _parts(facts: Mapping[str, Any]) -> str:
    rows = [
        (name, row["samples"], row["groups"], _percent(row["empty"], row["samples"] - row["unusable"]), row["unusable"])
        for name, row in facts["parts"].items()
    ]
    note = (
        f'<p class="soft small">{facts["unused"]:,} samples are in no part, and were not read.</p>'
        if facts["unused"]
        else ""
    )
    return (
        _titled("Parts", _table(("part", "samples", "groups", "empty masks", "cannot be used"), rows) + note)
        if rows
        else ""
    )


def _classes(facts: Mapping[str, Any], colours: Sequence[str]) -> str:
    if not facts["classes"]:
        return ""
    rows = ""
    for row, colour in zip(facts["classes"], colours, strict=True):
        weight = "-" if row["weight"] is None else f"{row['weight']:.4g}"
        rows += (
            f'<tr><td><span class="swatch" style="background:{escape(colour)}"></span>{escape(row["name"])}</td>'
            f'<td class="num">{100 * row["share"]:.4g} % {bar(row["share"], colour)}</td>'
            f'<td class="num">{row["images"]:,}</td><td class="num">{weight}</td></tr>'
        )
    head = '<tr><th>class</th><th class="num">pixels of the training part</th><th class="num">images</th><th class="num">weight</th></tr>'
    found = facts["weights"]
    value = found.get("pos_weight", found.get("class_weights"))
    said = (
        f'<p class="small">Suggested: <code>{escape(next(iter(found)))} = {escape(str(value))}</code>; {escape(found["formula"])}.</p>'
        if found
        else ""
    )
    chart = histogram(facts["shares"]["histogram"], "foreground share per image", "grey")
    return (
        '<h2>Classes</h2><div class="columns"><div class="box"><table>'
        f"{head}{rows}</table>{said}</div>"
        f'<div class="box"><h3>Foreground share per image</h3>{chart}</div></div>'
    )


def _channels(facts: Mapping[str, Any]) -> str:
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
        f'<h2>Intensities of the training part</h2><div class="box"><table><tr><th>channel</th>{head}</tr>{rows}</table>'
        f'<p class="small">To standardise by this data: <code>{escape(typed)}</code></p></div>'
        f'<div class="columns">{boxes}</div>'
    )


def _files(facts: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            *(
                "; ".join(f"{key} ({count:,})" for key, count in kinds[kind].items())
                for kind in ("kinds", "modes", "sizes")
            ),
        )
        for name, kinds in facts["files"].items()
    ]
    if not rows:
        return ""
    values = "; ".join(f"{key} ({count:,})" for key, count in facts["mask_values"].items())
    said = f'<p class="small">Values in the masks\' files: {escape(values)}</p>' if values else ""
    return _titled("Files", _table(("file", "kinds", "modes", "sizes, H x W"), rows) + said)


def _gallery(facts: Mapping[str, Any], shown: Sequence[Shown]) -> str:
    if not shown:
        return ""
    text = f"{len(shown)} of {facts['samples']:,} samples, spread over parts and groups: image, mask, both."
    return f'<h2>Samples</h2><p class="soft small">{text}</p><div class="gallery">{_figures(shown)}</div>'


def _augmented(sheet: str | None) -> str:
    if not sheet:
        return ""
    text = "Training samples as the network meets them, beside their masks (augmented.png)."
    return f'<h2>Augmented</h2><p class="soft small">{text}</p><figure><img class="wide" alt="augmented samples" src="{sheet}"></figure>'


def _figures(shown: Sequence[Shown]) -> str:
    figures = ""
    for one in shown:
        images = "".join(f'<img loading="lazy" alt="" src="{source}">' for source in one.pictures)
        tags = "".join(f'<span class="tag">{escape(tag)}</span>' for tag in one.tags)
        figures += (
            f'<figure><div class="strip">{images}</div><figcaption>{tags}<span class="path">{escape(one.name)}</span>'
            "</figcaption></figure>"
        )
    return figures


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


def _titled(title: str, inner: str) -> str:
    return f'<h2>{escape(title)}</h2><div class="box">{inner}</div>'


def _number(text: str) -> str:
    return f'<td class="num">{escape(text)}</td>'


def _percent(count: int, of: int) -> str:
    return f"{100 * count / of:.3g} %" if of else "-"


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
