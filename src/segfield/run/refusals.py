"""What Hydra and omegaconf refuse, in plain words: what was wrong, which word it was, what it may have meant."""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from segfield.run.check import ELSEWHERE
from segfield.run.job import key_of
from segfield.run.placement import PROJECT, leaves
from segfield.run.signature import near

CONF = PROJECT / "conf"
REFUSALS = (HydraException, OmegaConfBaseException, ValueError, OSError)  # of Hydra, of omegaconf, of what they call

_MOST = 3  # suggestions
_REFUSED = re.compile(r"Could not override '([\w.]+)'")
_GROUP = re.compile(r"Could not override '(\w+/[\w/]+)'")  # data/inputs: options of some options


def culprit_of(error: Exception, text: str, words: Sequence[str]) -> str | None:
    """Find the word that Hydra refuses: the last one with the first key that its text names."""
    if isinstance(error, OverrideParseException) and error.override in words:
        return error.override
    names = re.findall(r"[\w./@]+", text)
    return next((word for name in names for word in reversed(words) if key_of(word) == name), None)


def plain(error: Exception, words: Sequence[str]) -> str:
    """Say what Hydra, omegaconf or the file system refused, and what to type."""
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={name}: conf/{group}/ has {', '.join(error.options)}{near(name, error.options)}"
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} is no override. Write group=option, key=value, +key=value to add or ~key to remove, "
            "in quotes where the shell would read it: 'data.size=[64,64]'."
        )
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return f"{error.filename or 'This place'}: {error.strerror or error}. {ELSEWHERE}"
    if "Config group override must be" in str(error):
        null = [w for w in words if (CONF / w.partition("=")[0]).is_dir() and "null" in w.partition("=")[2]] or ["null"]
        group = null[0].partition("=")[0]
        return f"{' '.join(null)}: Hydra takes no null for a group. Leave the group out with '{group}=[]'."
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else None
    if (nested := _GROUP.match(str(error))) and (owners := _owners(nested[1])):
        parent = nested[1].partition("/")[0]
        return f"{nested[1]} belongs to {parent}={' or '.join(owners)}: add {parent}={owners[0]}, or leave it out."
    lines = [line for one in (error, cause) if one for line in str(one).splitlines()]
    text = " ".join(line.strip() for line in lines if not line.strip().startswith(("full_key:", "object_type=")))
    return text + suggestion(text)


def unresolved(error: Exception, key: str) -> str:
    """Say why the interpolation of a key does not resolve, and what to choose where that is known.

    data.inputs=ssh was typed where data/inputs=ssh was meant, or one option needs another's key, as head=conserving
    does data.density_scale.
    """
    text = str(error).splitlines()[0]
    word = re.search(r"node `([\w.]+)` is not a container", text)
    if word and (CONF / word[1].replace(".", "/")).is_dir():
        return f"{word[1]} was given a word. Its options are chosen by {word[1].replace('.', '/')}=<option>"
    lacking = re.search(r"Interpolation key '([\w.]+)' not found", text)
    group = lacking[1].partition(".")[0] if lacking else ""
    if lacking and (owners := sorted(one.stem for one in (CONF / group).glob("*.yaml") if lacking[1] in _keys(one))):
        return f"only {group}={' or '.join(owners)} has {lacking[1]}. Choose it, or another {key.partition('.')[0]}"
    return text


def _owners(group: str) -> list[str]:
    """Return the options whose defaults list names a nested group."""
    parent = CONF / group.partition("/")[0]
    lists = {file.stem: (yaml.safe_load(file.read_text()) or {}).get("defaults", []) for file in parent.glob("*.yaml")}
    return sorted(name for name, entries in lists.items() if any(f"/{group}" in entry for entry in entries))


def suggestion(text: str, conf: Path = CONF) -> str:
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
