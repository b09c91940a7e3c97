import re
import signal
from pathlib import Path

import pytest

from segfield.commands.prepare.ocean_density import main

pytest.importorskip("parcels", reason="advection needs the extra: pip install -e '.[ocean]'")

SMALL = (
    *("box=[37.8,38.2,2.7,3.4]", "margin=0.3", "ensembles=5", "particles=50", "days=1", "every_hours=12", "dt_hours=6"),
    "resolution=20",
)


def test_without_memory_the_keys_that_need_less_are_named(
    sea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill(*_: object) -> None:
        raise MemoryError("Unable to allocate 95 GiB")

    monkeypatch.setattr("segfield.drift.blocks.fill", fill)
    assert main([f"fields={sea}", f"out={tmp_path / 'set'}", *SMALL]) == 1
    assert "Not enough memory: Unable to allocate 95 GiB. Use a smaller block= " in capsys.readouterr().err


def test_an_interrupt_while_the_engine_is_imported_ends_the_command(
    sea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("segfield.drift.advect.require", lambda: signal.raise_signal(signal.SIGTERM))
    assert main([f"fields={sea}", f"out={tmp_path / 'set'}", *SMALL]) == 143
    assert "interrupted with 0 of 5 ensembles in" in capsys.readouterr().err


def test_a_finished_set_that_is_damaged_is_named_with_what_to_delete(
    sea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    words = [f"fields={sea}", f"out={out}", *SMALL]
    assert main(words) == 0
    states = iter(["begun", "finished"])  # another command finishes it between the two looks
    with monkeypatch.context() as patch:
        patch.setattr("segfield.drift.origin.state", lambda *_: next(states))
        assert main(words) == 0
    assert f"{out} holds this very set already: 5 samples." in capsys.readouterr().out
    assert not (out / "blocks").exists()
    again = f"To make the set again in its place, delete {out} first."
    (out / "fields/u.nc").unlink()
    assert main(words) == 1
    assert re.search(rf"holds this very set, but not whole: .* has no field 'u'.* {again}", capsys.readouterr().err)
    (out / "densities.nc").write_bytes((out / "densities.nc").read_bytes()[:-10])
    assert main(words) == 1
    assert re.search(rf"densities.nc cannot be read: .* {again}", capsys.readouterr().err)
