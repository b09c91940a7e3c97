"""Do the keys of a node bind to its class, and have their values the annotated types? Nothing is instantiated."""

import difflib
import importlib
import inspect
import json
import re
import types
import typing
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal, Union

_HYDRAS = ("_target_", "_partial_")
# A class that hands its **kwargs on: to whom, and which of its arguments it gives by itself.
_HANDED_ON = {"pytorch_lightning.loggers.TensorBoardLogger": ("torch.utils.tensorboard.SummaryWriter", "log_dir")}
_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", type(None): "null"}
_LISTS = {Sequence[int]: "whole numbers", Sequence[float]: "numbers", Sequence[str]: "words"}
_WORDS |= {kind: f"a list of {what}, [a,b]" for kind, what in _LISTS.items()}


def near(word: str, names: Collection[str]) -> str:
    """Return the end of a sentence: "; did you mean ...?" where a name resembles the word, else a full stop."""
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {close[0]}?" if close else "."


def shown(value: Any) -> str:
    """Return a value as one types it on the command line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def mismatches(key: str, node: dict[str, Any], given: Collection[str] = ()) -> Iterator[str]:
    """Yield what keeps a node from its class: keys without an argument, arguments without a key, types of values.

    Args:
        key: of the node, dotted.
        node: with a `_target_` that the whitelist holds.
        given: names of arguments that the run passes by itself.
    """
    name = node["_target_"]
    try:
        target = _locate(name)
        parameters, is_open = _parameters(target)
    except (ImportError, AttributeError) as error:
        yield f"{key}._target_={name} does not exist: {error}."
        return
    except ValueError:  # a builtin tells nothing of its arguments
        return
    if name in _HANDED_ON:
        other, own = _HANDED_ON[name]
        parameters, is_open = {**_parameters(_locate(other))[0], **parameters}, False
        del parameters[own]
    hints = _hints(target)
    for word, value in node.items():
        parameter = parameters.get(word)
        if word in _HYDRAS:
            continue
        if word in given:
            yield f"{key}.{word} is passed by the run itself. Remove it."
        elif parameter is None:
            names = [other for other in parameters if other not in given]
            if not is_open:
                yield f"{key}.{word} is no argument of {name}, which takes {', '.join(names)}{near(word, names)}"
        elif word in hints and not _is_default(value, parameter) and not _fits(value, hints[word]):
            yield f"{key}.{word}={shown(value)} must be {_described(hints[word], value)}"
    if not node.get("_partial_"):
        for word, parameter in parameters.items():
            if parameter.default is parameter.empty and word not in node and word not in given:
                yield f"{key}.{word} is missing: {name} needs it. Add +{key}.{word}=<value>."


def misplaced(key: str, node: dict[str, Any], kind: type | None, *, partial: bool) -> Iterator[str]:
    """Yield what keeps a node from its place: a class of another kind, or `_partial_`.

    Args:
        key: of the node, dotted.
        node: with a `_target_` that the whitelist holds.
        kind: that the place takes; None where it is the argument of a class.
        partial: whether the run calls it later.
    """
    try:
        target = _locate(node["_target_"])
    except (ImportError, AttributeError):  # mismatches() tells
        return
    if kind and inspect.isclass(target) and not issubclass(target, kind):
        yield f"{key}._target_={node['_target_']} is no {kind.__name__}."
    given = node.get("_partial_", False)
    if partial and given is not True:
        yield f"{key}._partial_={shown(given)}: the run gives it the rest later. Use {key}._partial_=true."
    elif type(given) is not bool or (kind and not partial and given):
        yield f"{key}._partial_={shown(given)}: no part is missing here. Remove it."


def _locate(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def _parameters(target: Any) -> tuple[dict[str, inspect.Parameter], bool]:
    """Return the arguments that a key can name, and whether any other key is taken too."""
    parameters = inspect.signature(target).parameters.values()
    keywords = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    is_open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return {parameter.name: parameter for parameter in parameters if parameter.kind in keywords}, is_open


def _hints(target: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError, AttributeError):  # names that a library imports for type checkers only
        return {}


def _is_default(value: Any, parameter: inspect.Parameter) -> bool:
    """Tell whether a value is the default: torch annotates `int = None`."""
    return type(value) is type(parameter.default) and bool(value == parameter.default)


def _fits(value: Any, hint: Any) -> bool:
    members = _members(hint)
    if isinstance(value, bool):  # Python's bool is an int; a config's true is no number
        members = [member for member in members if member not in (int, float)]
    return _holds_nodes(value) or any(_is(value, member) for member in members)


def _holds_nodes(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (isinstance(value, dict) and "_target_" in value) or any(_holds_nodes(one) for one in inner)


def _is(value: Any, member: Any) -> bool:
    import typeguard

    for form in (value, tuple(value)) if isinstance(value, list) else (value,):
        try:
            typeguard.check_type(
                form,
                member,
                forward_ref_policy=typeguard.ForwardRefPolicy.IGNORE,
                collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS,
            )
        except typeguard.TypeCheckError:
            continue
        return True
    return False


def _members(hint: Any) -> list[Any]:
    """Return the alternatives of a union, else the hint alone."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        return [member for part in typing.get_args(hint) for member in _members(part)]
    return [hint]


def _described(hint: Any, value: Any) -> str:
    members = _members(hint)
    literals = [choice for m in members if typing.get_origin(m) is Literal for choice in typing.get_args(m)]
    choices = list(dict.fromkeys(map(str, literals)))
    others = [
        _WORDS.get(member) or re.sub(r"\b\w+\.", "", inspect.formatannotation(member))
        for member in members
        if typing.get_origin(member) is not Literal
    ]
    words = [f"one of {', '.join(choices)}", *others] if choices else others
    return " or ".join(words) + near(str(value), choices)
