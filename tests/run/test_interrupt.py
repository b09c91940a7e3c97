import os
import signal
import threading

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
