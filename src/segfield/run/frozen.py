"""The values of frozen configs that are only looked at: thousands in a second, whoever wrote them.

The groups of a config (`optimizer: ...`) stand one below the other, and most of a project's runs have most of them in
common, so each different text is parsed once. What executes a run reads its config by freeze.load instead, as
plain() gives it.
"""

import re
from typing import Any

import yaml

from segfield.run.inside import nodes
from segfield.run.placement import leaves

_MOST = 100_000  # values of a config; beyond it is made to exhaust memory
_GROUP = re.compile(r"^(?=[A-Za-z_]\w*:[ \n])", re.MULTILINE)
_COMMENTS = re.compile(r"(?:#.*\n|\s*\n)*")
_DOCUMENT = re.compile(r"^(?:---|\.\.\.)", re.MULTILINE)
_NESTS = re.compile(r"[\[{]|[-?]\s")  # what opens a level of YAML, beside indentation
_DEEP = 2_000  # such marks; libyaml goes as deep as it is asked to, to the end of the stack and beyond
# What YAML's constructors raise, beside its own errors.
BROKEN = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)


def _refuse_merges(loader: Any, node: yaml.MappingNode) -> None:
    """Refuse `<<`: with a few lines of them a mapping fills the memory."""
    if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
        raise yaml.constructor.ConstructorError(None, None, "mappings are merged (<<)", node.start_mark)


_Fast, _Safe = (  # both without merges
    type("_Loader", (base,), {"flatten_mapping": _refuse_merges})
    for base in (getattr(yaml, "CSafeLoader", yaml.SafeLoader), yaml.SafeLoader)
)


class Frozen:
    """Reads configs, and remembers their groups."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any] | None] = {}

    def values(self, text: str) -> dict[str, Any]:
        """Return the values of a config by dotted key, as placement.leaves gives them.

        Raises:
            ValueError: if it is no YAML, no mapping, or made to exhaust memory; in one line.
        """
        try:
            return self._by_groups(text) or dict(leaves(_parsed(text)))
        except yaml.MarkedYAMLError as error:
            where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise ValueError(f"no YAML: {error.problem}{where}") from error
        except BROKEN as error:
            raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error

    def _by_groups(self, text: str) -> dict[str, Any]:
        """Return the values where each group can be read alone: no alias into another, none twice; else nothing."""
        head, *groups = _GROUP.split(text)
        if not _COMMENTS.fullmatch(head) or _DOCUMENT.search(text):
            return {}
        if len({group.partition(":")[0] for group in groups}) < len(groups):
            return {}
        values: dict[str, Any] = {}
        for group in groups:
            if group not in self._known:
                self._known[group] = _alone(group)
            found = self._known[group]
            if found is None:
                return {}
            values |= found
            if len(values) > _MOST:
                raise ValueError(f"it holds more than {_MOST} values")
        return values


def plain(text: str | bytes, kind: Any = _Safe) -> Any:
    """Return the one document of a text as numbers, words, lists and mappings, without merges.

    Raises:
        Exception: one of BROKEN.
    """
    loader = kind(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _alone(group: str) -> dict[str, Any] | None:
    """Return the values of one group's text; nothing where it means something else alone, or nothing."""
    try:
        config = _parsed(group)
    except BROKEN:
        return None  # the whole text is read then, and its error names the line
    return dict(leaves(config)) if list(config) == [group.partition(":")[0]] else None


def _parsed(text: str) -> dict[str, Any]:
    config = plain(text, _Fast if len(_NESTS.findall(text)) < _DEEP else _Safe)
    if not isinstance(config, dict) or not config:
        raise ValueError("no frozen config: expected groups such as data: and trainer:")
    for _ in nodes(config):  # refuses what never ends
        pass
    return config
