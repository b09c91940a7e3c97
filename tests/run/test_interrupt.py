import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from segfield.run.interrupt import terminable, undisturbed


def test_sigterm_ends_with_its_code_and_the_default_comes_back() -> None:
    with pytest.raises(SystemExit) as stop, terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_that_stands_there_already_is_kept() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]


def test_in_another_thread_nothing_is_handled() -> None:
    seen: list[object] = []

    def work() -> None:
        with terminable():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_the_last_word_of_a_run_is_written_whatever_comes() -> None:
    def mine(number: int, _: object) -> None:
        raise AssertionError(number)

    both = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, mine) for number in both}
    try:
        with undisturbed():
            for number in both:
                os.kill(os.getpid(), number)
        assert [signal.getsignal(number) for number in both] == [mine, mine]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_schedulers_signal_ends_the_block_and_is_handed_to_who_waits_for_it(number: signal.Signals) -> None:
    told: list[str] = []

    @contextlib.contextmanager
    def cleaning() -> Iterator[None]:
        try:
            yield
        finally:
            told.append("cleaned up")

    before = signal.signal(number, lambda *_: told.append("requeued"))
    try:
        with pytest.raises(SystemExit) as stop, terminable(), cleaning():
            os.kill(os.getpid(), number)
        assert stop.value.code == 128 + number
        with undisturbed():
            os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)
    assert told == ["cleaned up", "requeued"]
