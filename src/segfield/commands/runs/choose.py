"""Which runs, in which order: words such as optimizer.lr=1e-3, best>0.9 and state=killed, and keys to sort by."""

import operator
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, final

from segfield.commands.runs.cells import typed
from segfield.run.listing import Run
from segfield.run.placement import KEYS
from segfield.run.signature import near

FACTS = (
    *("run", "state", "model", "data", "metric", "best", "epoch", "epochs", "seconds", "memory_mb", "gpu_memory_mb"),
    *("frozen", "reason"),
)
_ALSO = {"time": "seconds", "memory": "memory_mb"}  # as the table heads them
_CONDITION = re.compile(r"([^=<>!]+)(<=|>=|!=|==?|<|>)(.*)", re.DOTALL)
_RELATIONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_NUMBERS = re.compile(r"([0-9]{1,18})")


@final
class Names:
    """What can be asked of runs: their facts, the groups of their configs, and every frozen key.

    Args:
        runs: all that were found.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        keys = dict.fromkeys(key for run in runs for key in run.values)
        classes = [key.removesuffix("._target_") for key in keys if key.count(".") == 1 and key.endswith("._target_")]
        self.groups = {*classes, *(group for run in runs for group in run.options if not group.startswith("hydra/"))}
        ends = Counter(end for key in keys for end in _ends(key))
        taken = {*FACTS, *_ALSO, *self.groups, *keys}
        self._shortest = {
            key: next((end for end in _ends(key) if ends[end] == 1 and (end == key or end not in taken)), key)
            for key in keys
        }
        self._meant = {short: key for key, short in self._shortest.items()}

    def short(self, key: str) -> str:
        """Return the shortest name of a frozen key that means no other: lr for optimizer.lr, where that is so."""
        group = key.removesuffix("._target_")
        return group if group in self.groups and group not in FACTS else self._shortest[key]

    def full(self, word: str) -> str:
        """Return what a typed name means: a fact, a group or a frozen key.

        Raises:
            ValueError: if nothing has that name, or several keys end with it.
        """
        if word in FACTS or word in self._shortest or word in self.groups:
            return word
        if word in _ALSO or word in self._meant or word in KEYS:
            return _ALSO.get(word) or self._meant.get(word, word)
        several = [key for key in self._shortest if key.endswith(f".{word}")]
        if several:
            raise ValueError(f"{word} may be {' or '.join(several[:4])}. Write it whole.")
        known = [*FACTS, *_ALSO, *self.groups, *self._shortest, *self._meant]
        raise ValueError(
            f"{word}: no run here has such a key{near(word, known)} Expected {', '.join((*FACTS, *_ALSO))}, a group "
            "such as optimizer, or a key of a run's config.yaml."
        )


def _ends(key: str) -> list[str]:
    """Return the ends of a dotted key, the shortest first: lr, optimizer.lr."""
    parts = key.split(".")
    return [".".join(parts[place:]) for place in reversed(range(len(parts)))]


def values(run: Run, name: str) -> list[Any]:
    """Return what a run has under a full name: of a group its option, and its class."""
    if name in ("model", "data") or name not in {**run.facts, **run.values}:
        return [value for value in (run.options.get(name), run.kind(name)) if value is not None] or [None]
    return [run.facts[name] if name in run.facts else run.values[name]]


def chosen(runs: list[Run], words: Iterable[str], names: Names) -> list[Run]:
    """Return the runs that all words hold for.

    Raises:
        ValueError: for a name that no run has, and for < or > without a number.
    """
    for word in words:
        condition = _CONDITION.fullmatch(word)
        if condition is None:
            runs = [run for run in runs if word in run.name]
            continue
        left, relation, right = condition.groups()
        name = names.full(left.strip())
        if relation in ("=", "==", "!="):
            runs = [run for run in runs if _equals(values(run, name), right.strip()) == (relation != "!=")]
        else:
            runs = [run for run in runs if _compares(values(run, name)[0], relation, _limit(word, name, right))]
    return runs


def _equals(found: list[Any], text: str) -> bool:
    number = _number(text)
    return any(
        typed(value) == text.replace(" ", "") or typed(value) == text or (_is_number(value) and value == number)
        for value in found
    )


def _limit(word: str, name: str, text: str) -> Any:
    if name == "frozen":
        return text
    number = _number(text)
    if number is None:
        raise ValueError(f"{word}: expected a number after < or >, found {text!r}. Write for example 'best>0.9'.")
    return number


def _compares(value: Any, relation: str, limit: Any) -> bool:
    if isinstance(limit, str) != isinstance(value, str) or not (isinstance(value, str) or _is_number(value)):
        return False
    return bool(_RELATIONS[relation](value, limit))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def ordered(runs: list[Run], name: str, *, reverse: bool = False) -> list[Run]:
    """Return runs by a fact or key: what is largest, newest or (best) the best score last; what has none first.

    Runs that are equal in it stay in the order of their time.
    """
    runs = sorted(runs, key=lambda run: (str(run.facts["frozen"] or ""), _natural(run.name)))
    if name == "frozen":
        return runs[::-1] if reverse else runs
    with_value = [run for run in runs if _place(run, name) is not None]
    without = [run for run in runs if _place(run, name) is None]
    return without + sorted(with_value, key=lambda run: _place(run, name) or (), reverse=reverse)


def _place(run: Run, name: str) -> tuple[Any, ...] | None:
    """Return where a run stands in an order; numbers before words, nan before numbers."""
    value = values(run, name)[0]
    if value is None:
        return None
    if not _is_number(value):
        return (2, *_natural(typed(value)))
    if value != value:
        return (0,)
    least = name == "best" and run.values.get("task.mode") == "min"
    return (1, -value if least else value)


def _natural(text: str) -> tuple[tuple[int, str], ...]:
    """Return a key that sorts job 2 before job 10."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in _NUMBERS.split(text)[:99])
