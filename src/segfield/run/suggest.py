"""What a key that the composed config lacks may have meant: keys of conf/ that end like it."""

import re
from pathlib import Path

import yaml

from segfield.run.placement import PROJECT, leaves

_MOST = 3  # suggestions
_REFUSED = re.compile(r"Could not override '([\w.]+)'")


def suggestion(text: str, conf: Path = PROJECT / "conf") -> str:
    """Return the end of Hydra's refusal of a key: which keys were perhaps meant; "" where there are none.

    Args:
        text: of the refusal.
        conf: folder of the configuration.
    """
    refused = _REFUSED.match(text)
    if refused is None or "Did you mean" in text:
        return ""
    key = refused[1]
    found: dict[str, list[str]] = {}  # options that have it, by key
    for file in sorted(conf.glob("*/*.yaml")):
        for known in _keys(file):
            if known.rpartition(".")[2] == key.rpartition(".")[2]:
                found.setdefault(known, []).append(file.stem)
    if key in found:
        return f". {key} is a key of {key.partition('.')[0]}={' or '.join(found[key])}"
    options = {known: len(list((conf / known.partition(".")[0]).glob("*.yaml"))) for known in found}
    ordered = sorted(found, key=lambda known: (not known.startswith(key.partition(".")[0]), -len(found[known]), known))
    told = [
        known if len(found[known]) > options[known] / 2 else f"{known} ({_chosen(known, found[known])})"
        for known in ordered[:_MOST]
    ]
    return f". Did you mean {' or '.join(told)}?" if told else ""


def _keys(file: Path) -> set[str]:
    """Return the keys of an option, dotted from the config's root, those of mappings too."""
    content = yaml.safe_load(file.read_text())
    if not isinstance(content, dict):
        return set()
    everywhere = file.read_text().startswith("# @package _global_")
    content = {name: value for name, value in content.items() if name != "defaults"}
    words = [name.split(".") for name, _ in leaves(content if everywhere else {file.parent.name: content})]
    return {".".join(word[:length]) for word in words for length in range(2, len(word) + 1) if "_target_" not in word}


def _chosen(known: str, options: list[str]) -> str:
    return f"{known.partition('.')[0]}={', '.join(options)}"
