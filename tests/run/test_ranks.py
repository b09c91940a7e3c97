"""How many processes a run has, and what becomes of it when one of them ends; whole runs are in tests/ranks."""

import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from segfield.run import ranks
from segfield.run.check import problems
from segfield.run.ranks import HUNG, LOST, RankError, Ranks


@dataclass
class Failure:
    exitcode: int
    message: str = ""


def trainer(**changes: Any) -> dict[str, Any]:
    return {"devices": 1, "num_nodes": 1, "strategy": "auto", "accelerator": "cpu", **changes}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_restarts": -1}, r"^ranks\.max_restarts=-1 is a number of restarts, 0 or more\. Use 3\.$"),
        ({"timeout": 0}, r"^ranks\.timeout=0 is a number of seconds, 1 or more\. Use 300\.$"),
        ({"timeout": float("nan")}, r"^ranks\.timeout=nan is a number of seconds"),
        ({"timeout": float("inf")}, r"^ranks\.timeout=inf is a number of seconds"),
        ({"port": 0}, r"^ranks\.port=0 is no port: use one from 1024 to 65535, or null for any free one\.$"),
        ({"port": 65536}, r"^ranks\.port=65536 is no port"),
    ],
)
def test_a_number_outside_its_range_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ranks(**arguments)


def test_a_run_older_than_its_ranks_has_the_default_ones() -> None:
    assert vars(ranks.settings({})) == vars(ranks.settings({"ranks": None})) == vars(Ranks())
    node = {"_target_": "segfield.run.ranks.Ranks", "timeout": 60}
    assert ranks.settings({"ranks": node}).timeout == 60


@pytest.mark.parametrize(
    ("changes", "world", "wanted"),
    [
        ({}, 1, False),
        ({"devices": 2}, 2, True),
        ({"devices": 2, "num_nodes": 3}, 6, True),
        ({"strategy": "ddp"}, 1, True),
        ({"strategy": "ddp", "devices": "auto"}, 1, True),
        ({"devices": -1}, 1, False),
    ],
)
def test_a_run_has_ranks_where_it_has_several_devices_or_a_strategy_for_them(
    changes: dict[str, Any], world: int, wanted: bool
) -> None:
    assert ranks.world_size(trainer(**changes)) == world
    assert ranks.wanted(trainer(**changes)) is wanted


def test_ranks_of_a_node_share_its_cores() -> None:
    assert ranks.threads({"threads": 4, "trainer": trainer(devices=2)}) == 2
    assert ranks.threads({"threads": 2, "trainer": trainer(devices=3)}) == 1
    assert ranks.threads({"threads": 2, "trainer": trainer(num_nodes=2)}) == 2


def test_several_nodes_are_started_by_the_user_who_is_told_how() -> None:
    with pytest.raises(
        ValueError, match=r"(?s)^This run wants 2 nodes.*torchrun --nnodes 2 --nproc-per-node 4 .*"
    ) as told:
        ranks.refuse_several_nodes(Path("/runs/mine"), trainer(devices=4, num_nodes=2))
    assert "--rdzv-id mine -m segfield execute /runs/mine\n" in str(told.value)
    ranks.refuse_several_nodes(Path("/runs/mine"), trainer(devices=4))


def test_ranks_start_again_where_one_was_killed_or_lost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"ranks": {"max_restarts": 1}, "trainer": trainer(devices=2), "threads": 2}
    killed = {0: Failure(LOST), 1: Failure(-signal.SIGKILL)}
    crashed = {1: Failure(-signal.SIGSEGV), 0: Failure(-signal.SIGTERM)}
    ended_by_the_agent = {0: Failure(LOST), 1: Failure(143)}
    for failures in (killed, crashed, ended_by_the_agent):
        ends = [{}, failures]
        monkeypatch.setattr(ranks, "_started", lambda *_, left=ends: left.pop())
        ranks.launch(tmp_path, (), config)
        assert not ends, "both starts were made"


@pytest.mark.parametrize("code", [1, 2])
def test_an_error_of_its_own_ends_the_run_whatever_the_other_ranks_say(code: int) -> None:
    with pytest.raises(RankError, match=r"^rank 2 failed: no such file$"):
        ranks._judge({0: Failure(LOST), 1: Failure(-signal.SIGTERM), 2: Failure(code, "no such file")}, restarted=True)


def test_a_hang_ends_the_run_with_what_the_rank_says_that_found_it() -> None:
    with pytest.raises(RankError, match=r"^rank 1 hangs$"):
        ranks._judge({0: Failure(HUNG, "rank 1 hangs"), 1: Failure(-signal.SIGKILL)}, restarted=False)


def test_a_restart_that_hangs_is_followed_by_the_next_as_long_as_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"ranks": {"max_restarts": 2}, "trainer": trainer(devices=2), "threads": 2}
    killed, hung = {1: Failure(-signal.SIGKILL)}, {0: Failure(HUNG, "rank 1 hangs: no sign for 8 s")}
    ends = iter([killed, hung, {}])
    monkeypatch.setattr(ranks, "_started", lambda *_: next(ends))
    ranks.launch(tmp_path, (), config)
    assert "rank 0 found that rank 1 hangs: no sign for 8 s: all ranks start again" in caplog.text
    ends = iter([killed, hung, hung])
    with pytest.raises(RankError, match=r"found that rank 1 hangs: no sign for 8 s, after 2 restarts"):
        ranks.launch(tmp_path, (), config)


@pytest.mark.parametrize("code", [130, 143])
def test_ranks_that_saved_after_a_signal_end_the_run_as_interrupted(code: int) -> None:
    with pytest.raises(SystemExit) as stop:
        ranks._judge({0: Failure(code), 1: Failure(code)}, restarted=False)
    assert stop.value.code == code


@pytest.fixture
def taken() -> Any:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_is_found_before_anything_starts(taken: int, tmp_path: Path) -> None:
    assert not ranks.is_free(taken)
    config = {"ranks": {"_target_": "segfield.run.ranks.Ranks", "port": taken}}
    first = next(text for text in problems(config, tmp_path / "run") if "port" in text)
    assert first == (
        f"ranks.port={taken} is in use by another process. Use another one, or ranks.port=null for any free one."
    )


def test_a_port_that_was_taken_since_the_check_is_told_alike(taken: int, tmp_path: Path) -> None:
    config = {"ranks": {"port": taken}, "trainer": trainer(devices=2), "threads": 2}
    with pytest.raises(ValueError, match=rf"^ranks\.port={taken} is in use by another process\."):
        ranks.launch(tmp_path, (), config)


def test_what_the_agent_is_told_does_not_stay_in_the_environment(taken: int, tmp_path: Path) -> None:
    import os

    before = dict(os.environ)
    with pytest.raises(ValueError, match="in use"):
        ranks.launch(tmp_path, (), {"ranks": {"port": taken}, "trainer": trainer(devices=2), "threads": 2})
    assert dict(os.environ) == before
