"""The page itself: sections of HTML, every word from the data escaped, every picture inside the file."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from segfield.report.numbers import channels, classes, files, parts
from segfield.report.style import CSS

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # a browser then loads and runs nothing else
_LISTED = 200  # names of a finding; audit.json has all


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
        parts(facts),
        classes(facts, colours),
        channels(facts),
        files(facts),
        _gallery(facts, gallery),
        _augmented(augmented),
        f"<footer>{facts['when']} in {facts['seconds']:.1f} s: <code>{escape(facts['command'])}</code></footer>",
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
        listed = f'<ul class="names">{listed}{more}</ul>'
        summary = f"<summary>{_counted(len(names), 'name')}</summary>"
        details = f"<details{opened}>{summary}{listed}</details>" if names else ""
        inner += (
            f'<div class="finding {colour}"><h3>{escape(kind)}: {escape(what)}</h3><p>{escape(mend)}</p>{details}</div>'
        )
    return f"<h2>{title}</h2>{inner}"


def _alike(pairs: Sequence[Shown]) -> str:
    return f'<h2>Images that are the same, or nearly</h2><div class="gallery">{_figures(pairs)}</div>' if pairs else ""


def _gallery(facts: Mapping[str, Any], shown: Sequence[Shown]) -> str:
    if not shown:
        return ""
    text = f"{len(shown)} of {facts['samples']:,} samples, spread over parts and groups: image, mask, both."
    return f'<h2>Samples</h2><p class="soft small">{text}</p><div class="gallery">{_figures(shown)}</div>'


def _augmented(sheet: str | None) -> str:
    if not sheet:
        return ""
    text = "Training samples as epoch 0 meets them, with the outlines of their masks (augmented.png)."
    figure = f'<figure><img class="wide" alt="augmented samples" src="{sheet}"></figure>'
    return f'<h2>Augmented</h2><p class="soft small">{text}</p>{figure}'


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


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
