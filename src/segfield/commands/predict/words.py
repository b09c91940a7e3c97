"""The words of a command that predicts: a run, what else is named, settings, placement."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from segfield.run.placement import KEYS

Words = tuple[list[Path], dict[str, str], list[str]]


def split(arguments: Sequence[str], settings: Sequence[str], stranger: Callable[[str, str], str]) -> Words:
    """Return paths, settings by name, and placement.

    Args:
        arguments: as typed; what exists as a file is a path, whatever it looks like.
        settings: names of the settings.
        stranger: says what is wrong with key=value of an unknown key, given the word and a hint.

    Raises:
        ValueError: if a word is none of these, or out= is empty.
    """
    paths: list[Path] = []
    given: dict[str, str] = {}
    placement: list[str] = []
    for word in arguments:
        key, equals, value = word.partition("=")
        if equals and key in settings:
            given[key] = value
        elif equals and key in KEYS:
            placement.append(word)
        elif equals and not Path(word).expanduser().exists():
            near = difflib.get_close_matches(key, (*settings, *KEYS), n=1)
            raise ValueError(stranger(word, f" (did you mean {near[0]}?)" if near else ""))
        elif word.startswith("-") and not Path(word).exists():
            raise ValueError(f"{word} is no setting: they are written {word.lstrip('-').partition('=')[0]}=<value>.")
        else:
            paths.append(Path(word).expanduser().absolute())
    if given.get("out") == "":
        raise ValueError("out= names no folder. Use for example out=predictions.")
    return paths, given, placement
