from collections.abc import Callable
from typing import Any

from segfield.__main__ import VERBS

Cli = Callable[..., Any]


def test_usage_lists_every_verb(cli: Cli) -> None:
    outcome = cli("segfield", "--help")
    assert outcome.code == 0
    assert all(verb in outcome.out for verb in VERBS)


def test_an_unknown_verb_or_none_is_a_wrong_call(cli: Cli) -> None:
    assert cli("segfield").code == 2
    outcome = cli("segfield", "exekute")
    assert outcome.code == 2
    assert "unknown verb 'exekute'" in outcome.err


def test_every_verb_shows_its_own_usage(cli: Cli) -> None:
    for verb in VERBS:
        outcome = cli("segfield", verb, "--help")
        assert outcome.code == 0
        assert f"python -m segfield {verb}" in outcome.out


def test_execute_without_a_folder_is_a_wrong_call(cli: Cli) -> None:
    assert cli("segfield", "execute").code == 2
    assert cli("segfield", "execute", "threads=2").code == 2


def test_execute_names_a_folder_that_is_no_run(cli: Cli, tmp_path: Any) -> None:
    outcome = cli("segfield", "execute", tmp_path)
    assert outcome.code == 2
    assert "is no run folder" in outcome.err
