from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from segfield.run import signature
from segfield.run.signature import mismatches, misplaced

LOGGER = "pytorch_lightning.loggers.TensorBoardLogger"


class Thing:
    def __init__(
        self,
        number: float,
        count: int = 1,
        sides: Sequence[int] | None = None,
        pair: tuple[float, float] = (0.0, 1.0),
        mode: Literal["max", "min"] | None = None,
        flag: bool | Literal["warn"] = False,
        implicit: int = None,  # noqa: RUF013  # as torch writes it
        path: str | Path = "",
    ) -> None: ...


class Broken:
    def __init__(self, a: "NotThere", b: int = 0) -> None: ...  # type: ignore[name-defined]  # noqa: F821


class Open:
    def __init__(self, a: int = 0, **rest: object) -> None: ...


@pytest.fixture(autouse=True)
def located(monkeypatch: pytest.MonkeyPatch) -> None:
    locate, own = signature._locate, {"own.Thing": Thing, "own.Broken": Broken, "own.Open": Open}
    monkeypatch.setattr(signature, "_locate", lambda name: own.get(name) or locate(name))


def found(key: str = "thing", target: str = "own.Thing", **node: Any) -> list[str]:
    return list(mismatches(key, {"_target_": target, **node}))


@pytest.mark.parametrize(
    "node",
    [
        {"number": 1},
        {"number": 0.5, "count": 3, "sides": [4, 4], "pair": [0, 1.0], "mode": "min", "flag": True},
        {"number": 0.5, "sides": None, "mode": None, "flag": "warn", "implicit": None, "path": "x"},
        {"number": {"_target_": "torch.nn.ReLU"}, "sides": [{"_target_": "torch.nn.ReLU"}]},
    ],
)
def test_values_of_the_annotated_types_fit_in_the_form_that_yaml_gives_them(node: dict[str, Any]) -> None:
    assert found(**node) == []


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"number": "abc"}, "thing.number=abc must be a number."),
        ({"number": True}, "thing.number=true must be a number."),
        ({"count": 1.5}, "thing.count=1.5 must be a whole number."),
        ({"count": None}, "thing.count=null must be a whole number."),
        ({"sides": [4, 0.5]}, "thing.sides=[4, 0.5] must be a list of whole numbers, [a,b] or null."),
        ({"sides": 4}, "thing.sides=4 must be a list of whole numbers, [a,b] or null."),
        ({"pair": [0, 1, 2]}, "thing.pair=[0, 1, 2] must be tuple[float, float]."),
        ({"mode": "maxx"}, "thing.mode=maxx must be one of max, min or null; did you mean max?"),
        ({"flag": 2}, "thing.flag=2 must be one of warn or true or false."),
        ({"path": 3}, "thing.path=3 must be a word or Path."),
    ],
)
def test_a_value_of_another_type_is_named_with_what_is_expected(node: dict[str, Any], message: str) -> None:
    assert found(**{"number": 1.0, **node}) == [message]


def test_a_key_without_an_argument_and_an_argument_without_a_key_are_named() -> None:
    takes = "number, count, sides, pair, mode, flag, implicit, path"
    assert found(cuont=2) == [
        f"thing.cuont is no argument of own.Thing, which takes {takes}; did you mean count?",
        "thing.number is missing: own.Thing needs it. Add +thing.number=<value>.",
    ]


def test_a_partial_may_lack_arguments() -> None:
    assert found(_partial_=True) == []
    assert found("optimizer", "torch.optim.AdamW", _partial_=True, lr=1) == []
    assert found("optimizer", "torch.optim.AdamW", lr="x")[1].startswith("optimizer.params is missing")


def test_what_the_run_passes_by_itself_may_be_absent_and_may_not_be_given() -> None:
    node = {"_target_": "own.Thing"}
    assert list(mismatches("thing", node, ("number",))) == []
    given = list(mismatches("thing", {**node, "number": 1.0}, ("number",)))
    assert given == ["thing.number is passed by the run itself. Remove it."]


def test_annotations_that_do_not_resolve_are_not_asked_but_keys_are() -> None:
    assert found("thing", "own.Broken", a=3, b="x") == []
    assert len(found("thing", "own.Broken", a=3, c=3)) == 1


def test_a_class_that_takes_any_key_is_not_asked_for_names() -> None:
    assert found("thing", "own.Open", b=3) == []
    assert found("thing", "own.Open", a="x") == ["thing.a=x must be a whole number."]


def test_keys_that_the_tensorboard_logger_hands_on_are_bound_to_the_writer() -> None:
    assert found("logger.tb", LOGGER, save_dir=".", flush_secs=3, purge_step=None) == []
    (error,) = found("logger.tb", LOGGER, save_dir=".", flush_sec=3)
    assert error.startswith(f"logger.tb.flush_sec is no argument of {LOGGER}, which takes ")
    assert error.endswith("did you mean flush_secs?")


def test_a_class_that_does_not_exist_is_named() -> None:
    (error,) = found("model", "torch.nn.Sigmoidd")
    assert error.startswith("model._target_=torch.nn.Sigmoidd does not exist: module 'torch.nn' has no attribute")


def test_a_builtin_that_tells_nothing_is_not_asked() -> None:
    assert found("thing", "builtins.dict", a=3) == []


@pytest.mark.parametrize(
    ("node", "partial", "message"),
    [
        ({"_target_": "own.Open"}, False, "thing._target_=own.Open is no Thing."),
        ({"_target_": "own.Thing", "_partial_": True}, False, "thing._partial_=true: no part is missing here."),
        ({"_target_": "own.Thing", "_partial_": 1}, True, "thing._partial_=1: the run gives it the rest later. Use "),
        ({"_target_": "own.Thing"}, True, "thing._partial_=false: the run gives it the rest later. Use thing."),
    ],
)
def test_a_node_has_the_kind_of_its_place_and_is_partial_where_that_asks_for_it(
    node: dict[str, Any], partial: bool, message: str
) -> None:
    (error,) = misplaced("thing", node, Thing, partial=partial)
    assert error.startswith(message)


def test_an_argument_of_a_class_may_be_of_any_kind_and_partial_but_no_word() -> None:
    assert list(misplaced("thing", {"_target_": "own.Open", "_partial_": True}, None, partial=False)) == []
    assert list(misplaced("thing", {"_target_": "own.Thing", "_partial_": True}, Thing, partial=True)) == []
    assert len(list(misplaced("thing", {"_target_": "own.Open", "_partial_": "x"}, None, partial=False))) == 1
    assert list(misplaced("thing", {"_target_": "torch.nn.Sigmoidd"}, Thing, partial=False)) == []  # mismatches() tells
