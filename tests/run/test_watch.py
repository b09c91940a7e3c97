"""Who is behind where nobody moves; a whole run that hangs is in tests/ranks."""

import json
import time
from typing import Any

import pytest
import torch.distributed as dist

from segfield.run import watch
from segfield.run.watch import Place, Watch


@pytest.fixture
def store() -> Any:
    return dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)


@pytest.fixture
def watched(store: Any, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The watch of rank 0 of 3, which waits in a backward pass since 2 s where 1 s is allowed."""
    monkeypatch.setattr(watch, "number", lambda: 0)
    monkeypatch.setattr(watch, "world", lambda: 3)
    found = Watch(store, timeout=1.0)
    found._move(Place(0, 0, 8, 2))
    found._moved -= 2
    return found


def say(store: Any, rank: int, place: Place) -> None:
    store.set(f"segfield/place/{rank}", json.dumps(place))


def behind(watched: Watch) -> list[int]:
    """Ask until the others have been quiet for long enough."""
    watched._behind()
    time.sleep(0.5)
    return sorted(watched._behind())


def test_the_rank_that_is_behind_is_the_one_that_hangs(store: Any, watched: Watch) -> None:
    say(store, 1, Place(0, 0, 8, 1))
    say(store, 2, Place(0, 0, 8, 2))
    assert behind(watched) == [1]


def test_a_rank_in_a_validation_is_ahead_of_one_that_trains_for_it(store: Any, watched: Watch) -> None:
    watched._place = Place(1, 1, watch._END, 0)
    say(store, 1, Place(1, 1, 4, 0))
    say(store, 2, Place(1, 0, 9, 3))
    assert behind(watched) == [2]


def test_a_rank_that_never_said_a_word_is_behind(store: Any, watched: Watch) -> None:
    say(store, 1, Place(0, 0, 8, 2))
    assert behind(watched) == [2]


def test_nobody_hangs_while_the_last_one_moves(store: Any, watched: Watch) -> None:
    say(store, 1, Place(0, 0, 7, 3))
    say(store, 2, Place(0, 0, 8, 2))
    watched._behind()
    time.sleep(0.5)
    say(store, 1, Place(0, 0, 8, 1))
    assert watched._behind() == {}


def test_nobody_hangs_while_this_rank_moves(store: Any, watched: Watch) -> None:
    watched._move(Place(0, 0, 9, 1))
    assert behind(watched) == []
    assert json.loads(store.get("segfield/place/0")) == [0, 0, 9, 1]


def test_validations_inside_an_epoch_and_epochs_keep_the_order(store: Any, watched: Watch) -> None:
    none: Any = None
    seen = []
    watched.on_train_batch_start(none, none, none, 0)
    watched.on_before_backward(none, none, none)
    watched.on_train_batch_end(none, none, none, none, 0)
    seen.append(watched._place)
    watched.on_validation_batch_start(none, none, none, 0)
    seen.append(watched._place)
    watched.on_validation_epoch_end(none, none)
    seen.append(watched._place)
    watched.on_validation_end(none, none)
    seen.append(watched._place)
    watched.on_train_batch_start(none, none, none, 1)
    seen.append(watched._place)
    watched.on_train_epoch_end(none, none)
    seen.append(watched._place)
    watched.on_train_epoch_start(none, none)
    seen.append(watched._place)
    watched.on_train_batch_start(none, none, none, 0)
    seen.append(watched._place)
    assert seen == sorted(seen)
    assert len(set(seen)) == 8
