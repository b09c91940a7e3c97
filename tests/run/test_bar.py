import io
import types

import pytest

from segfield.run.bar import bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), True), (io.StringIO(), False)])
def test_a_bar_is_shown_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, shown: bool) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with bar("predict") as tick:
        for done in range(1, 4):
            tick(done, 3)
    assert ("3/3" in stream.getvalue()) == shown


def test_a_bar_shows_how_many_are_done_a_second_without_those_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, *[10.0] * 3])
    monkeypatch.setattr("sys.stderr", stream := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("segfield.run.bar.time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    with bar("advecting", "ensembles") as tick:
        for done in (400, 425, 440):
            tick(done, 1000)
    assert "4.0 ensembles/s" in stream.getvalue()
