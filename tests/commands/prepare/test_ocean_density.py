import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segfield import densities
from segfield.commands.prepare.ocean_density import main
from segfield.drift.protocol import KEYS, Protocol

SMALL = (
    *("box=[37.8,38.2,2.4,3.4]", "margin=0.3", "ensembles=5", "particles=50", "block=2", "days=1", "every_hours=12"),
    *("dt_hours=6", "resolution=20"),
)


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    """Import parcels once, before commands are forked."""
    pytest.importorskip("parcels", reason="advection needs the extra: pip install -e '.[ocean]'")


def prepared(cli: Callable[..., Any], sea: Path, out: Path, *words: str) -> Any:
    return cli("segfield", "prepare", "ocean_density", f"fields={sea}", f"out={out}", *SMALL, *words)


def test_the_command_makes_a_set_says_what_came_of_it_and_how_to_train_on_it(
    cli: Callable[..., Any], sea: Path, tmp_path: Path
) -> None:
    out = tmp_path / "the set"
    outcome = prepared(cli, sea, out)
    assert (outcome.code, outcome.err) == (0, "")
    said = re.search(
        rf"Wrote {out}: 5 samples of 50 particles, 3 maps each\n  region \[.*\], (\d+) x (\d+) cells of 1/20 degree\n"
        r"  inside after 1 days: (\S+) % \(mean\); left (\d+), beached (\d+) of 250; centres drawn again for land: "
        r"(\d+)\n"
        r"  \S+ MB, \S+ s, \S+ ensembles/s, peak memory \d+ MB\n",
        outcome.out,
    )
    assert said
    assert f"python train.py model=unet_small data=ocean_density 'data.root={out}'\n" in outcome.out
    assert "Currents: u and v of the files" in outcome.out
    with densities.open_counts(out) as found:
        assert found.counts.shape == (5, 3, int(said[1]), int(said[2]))
        left, beached = int(found.left[:, -1].sum()), int(found.beached[:, -1].sum())
        assert (left, beached, found.attrs["redrawn"]) == (int(said[4]), int(said[5]), int(said[6]))
        assert float(said[3]) == pytest.approx(100 * (1 - (left + beached) / 250), abs=0.01)
        assert found.counts.values[:, 0].sum() == 250
        assert f"prepare ocean_density fields={sea} 'out={out}' 'box=" in found.attrs["history"]
        assert json.loads(found.attrs["reading"]) == {"names": None, "units": None, "land": None}
        assert json.loads(found.attrs["sources"])[0][0] == "sea.nc"
    assert densities.field_names(out) == ["u", "v"]


def test_the_same_command_on_a_finished_set_says_so_and_another_one_shows_what_differs(
    cli: Callable[..., Any], sea: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    assert prepared(cli, sea, out, "names={u:uo,v:vo}").code == 0
    (out / "blocks").mkdir()  # killed when the set was there already
    before = (out / "densities.nc").read_bytes()
    again = prepared(cli, sea, out, "names={u: uo, v: vo}")
    assert again.code == 0
    assert f"{out} holds this very set already: 5 samples.\nTrain on it with:" in again.out
    assert not (out / "blocks").exists()
    other = prepared(cli, sea, out, "names={u:uo,v:vo}", "ensembles=9", "seed=3")
    assert other.code == 1
    assert "protocol ensembles: 5 there, 9 asked for\n  protocol seed: 0 there, 3 asked for" in other.err
    assert (out / "densities.nc").read_bytes() == before


def test_files_come_from_a_path_a_glob_or_a_list_of_both(
    sea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Path]] = []

    def read(files: list[Path], *_: Any, **__: Any) -> None:
        seen.append(files)
        raise ValueError("enough")

    monkeypatch.setattr("segfield.drift.sources.read_fields", read)
    others = [tmp_path / f"{name}.nc" for name in ("b", "a")]
    for path in others:
        path.touch()
    monkeypatch.chdir(tmp_path)
    for words in (f"{sea}", "[b.nc,*.nc]", f"{tmp_path}/?.nc"):
        assert main([f"fields={words}", "out=set"]) == 1
    assert seen == [[sea], [Path("b.nc"), Path("a.nc"), Path("sea.nc")], others[::-1]]
    assert not Path("set").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], r"fields=... is missing. Use for example 'fields=data/\*.nc'"),
        (["fields={sea}"], "out=... is missing. Use for example out=data/ocean_density"),
        (["fields=no/*.nc", "out=x"], r"fields=no/\*.nc: no such file, and nothing that it matches as a glob"),
        (["fields={sea}/..", "out=x"], "sea.nc/..: no such file"),
        (["fields={folder}", "out=x"], r"is a folder. Use 'fields=.*/\*.nc'"),
        (["fields=[]", "out=x"], r"fields=\[\] names no file"),
        (["fields={sea}", "out=x", "ensemble=3"], r"unknown argument 'ensemble=3' \(did you mean ensembles\?\)"),
        (["fields={sea}", "out=x", "3"], "unknown argument '3': expected key=value with one of fields, out, box"),
        (["fields={sea}", "out=x", "box=[1,2"], r"'box=\[1,2' cannot be read: box=\[37.89,38.89,2.71,3.71\] for"),
        (["fields={sea}", "out=x", "names=[u"], r"'names=\[u' cannot be read: 'names={u: uo, v: vo}' for example"),
        (["fields={sea}", "out=x", "names=uo"], "names=uo cannot be read. Use for example 'names={u: uo, v: vo}'"),
        (["fields={sea}", "out=x", "units=[cm]"], r"units=\['cm'\] cannot be read. Use for example 'units={ssh: cm}'"),
        (["fields={sea}", "out=x", "land=0"], "land=0 cannot be read. Use for example land=mesh_mask.nc:tmask"),
        (["fields={sea}", "out=x", "fields=b.nc"], r"fields= is given twice. Use a list: 'fields=\[.*sea.nc,b.nc\]'"),
        (["fields={sea}", "out=~nobody-at-all/x"], "out=~nobody-at-all/x: .* Give the whole path"),
        (["fields={sea}", "out=x", "days=1e-9"], "days=1e-09 must be whole seconds"),
        (["fields={sea}", "out=x", "dt_hours=5"], "dt_hours=5 does not divide every_hours=6"),
    ],
)
def test_a_wrong_call_is_answered_with_the_usage_and_code_2(
    words: list[str], said: str, sea: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.format(sea=sea, folder=sea.parent) for word in words]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error), error
    assert "usage: python -m segfield prepare ocean_density fields=" in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["days=9"], "No ensemble can start: days=9 and a map of 12 hours need 9.5 days"),
        (["points=[[38,2.42]]"], r"points=\[\[38,2.42\]\] lies on land. The nearest sea is at \[38,2.6\]"),
        (["box=[37.8,38.2,2.3,2.4]"], r"box=\[37.8, 38.2, 2.3, 2.4\] has no sea"),
        (["currents=ssh"], "Currents need ssh; the fields of the files are u"),
        (["box=[37.8,39.2,2.4,3.4]"], "covers latitude 37..39 and longitude 2..4 .* Change box= or margin="),
        (["out={sea}"], "is not empty and holds no set of drift densities"),
        (["out={sea}/x"], r"sea.nc/x/blocks cannot be made: Not a directory. Use another folder: out=<folder>"),
        (["land=~nobody-at-all/x.nc:mask"], r"~nobody-at-all/x.nc is not there; it was given as land=<file>"),
    ],
)
def test_what_cannot_be_made_is_told_with_code_1(
    words: list[str], said: str, sea: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"fields={sea}", f"out={tmp_path / 'set'}", *SMALL, *(word.format(sea=sea) for word in words)]
    assert main(words) == 1
    assert re.search(said, capsys.readouterr().err)
    assert not (tmp_path / "set").exists()


def test_without_parcels_the_extra_is_named(
    sea: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "parcels", None)
    assert main([f"fields={sea}", "out=x"]) == 1
    assert "pip install -e '.[ocean]'" in capsys.readouterr().err


def test_the_margin_ends_where_the_currents_do(sea: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"fields={sea}", f"out={tmp_path / 'set'}", *SMALL, "margin=1.5", "ensembles=1", "days=3"]
    assert main(words) == 0
    said = "Particles move within [37,39,2,4]: the currents end inside of the margin or the region."
    assert said in capsys.readouterr().out


def test_a_set_that_most_particles_have_left_is_said_to_need_more_room(
    sea: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"fields={sea}", f"out={tmp_path / 'set'}", *SMALL, "region=[37.8,38.2,2.4,3.4]", "days=4"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert float(re.search(r"inside after 4 days: (\S+) %", said)[1]) < 90  # type: ignore[index]
    assert "Many have left the maps: prepare again, in another folder, with a wider margin=" in said


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_an_interrupted_command_says_that_it_goes_on_and_does(
    stop: BaseException,
    code: int,
    sea: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [f"fields={sea}", f"out={tmp_path / 'set'}", *SMALL]
    with monkeypatch.context() as patch:
        patch.setattr("segfield.drift.finish.finish", lambda *_: (_ for _ in ()).throw(stop))
        assert main(words) == code
    said = f"interrupted with 5 of 5 ensembles in {tmp_path / 'set'}: the same command goes on from there\n"
    assert said in capsys.readouterr().err
    assert main(words) == 0
    assert f"Going on in {tmp_path / 'set'}: 5 of 5 ensembles are there." in capsys.readouterr().out


def test_the_defaults_in_the_usage_are_those_of_the_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    assert main(["--help"]) == 0
    words = capsys.readouterr().out.split("defaults: ")[1].splitlines()[0].split()
    values = {word.partition("=")[0]: yaml.safe_load(word.partition("=")[2]) for word in words}
    assert tuple(values) == KEYS
    assert Protocol.from_json(values) == Protocol()


def test_real_altimetry_is_carried_and_what_is_lost_is_known(
    cli: Callable[..., Any], shared_data: Path, tmp_path: Path
) -> None:
    files = shared_data / "ocean/altimetry/dt_med_allsat_phy_l4_2005T2.nc"
    outcome = cli(
        *("segfield", "prepare", "ocean_density", f"fields={files}", f"out={tmp_path / 'med'}"),
        *("ensembles=4", "particles=100", "dt_hours=6"),
    )
    assert outcome.code == 0, outcome.err
    with densities.open_counts(tmp_path / "med") as found:
        inside = found.counts.sum(("latitude", "longitude"))
        np.testing.assert_array_equal(inside + found.left + found.beached, 100)
        assert found.counts.shape[:2] == (4, 13)
    assert densities.field_names(tmp_path / "med") == ["ssh", "u", "v"]
