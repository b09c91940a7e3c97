import contextlib
import importlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from segfield.run.interrupt import patient, terminable, undisturbed


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


@pytest.mark.parametrize(("number", "end"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_an_import_is_not_cut_in_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, end: type[BaseException]
) -> None:
    text = f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(0.2)\nwhole = True\n"
    (tmp_path / f"halves{number}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[bool] = []

    def work() -> None:
        with terminable():
            seen.append(importlib.import_module(f"halves{number}").whole)
            threading.Event().wait(10)

    with pytest.raises(end):
        work()
    assert seen == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_import_that_does_not_end_is_cut_after_some_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segfield.run.interrupt._LONGEST", 0.2)
    (tmp_path / "endless.py").write_text("import os, time\nos.kill(os.getpid(), 15)\ntime.sleep(30)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit), terminable():
        importlib.import_module("endless")


@pytest.mark.parametrize(("number", "end"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_work_that_is_not_to_be_cut_stops_where_it_looks(number: signal.Signals, end: type[BaseException]) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    done: list[str] = []

    def work() -> None:
        with patient() as check:
            check()
            os.kill(os.getpid(), number)
            done.append("to the end")
            check()
            done.append("too far")

    with pytest.raises(end):
        work()
    assert done == ["to the end"]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_signal_does_not_wait() -> None:
    child = os.fork()
    if child == 0:
        with patient():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


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
