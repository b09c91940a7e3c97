import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segfield import densities
from segfield.drift.blocks import Plan, done, fill
from segfield.drift.finish import Summary, finish
from segfield.drift.origin import HEADER, header, state
from segfield.drift.protocol import Protocol
from segfield.drift.release import possible_starts

parcels = pytest.importorskip("parcels", reason="advection needs the extra: pip install -e '.[ocean]'")

TINY = Protocol(
    box=(37.9, 38.1, 2.9, 3.1), margin=0.5, ensembles=5, particles=60, block=2, days=1, every_hours=12, dt_hours=6
)
MakePlan = Callable[..., Plan]


@pytest.fixture
def plan(flow: Callable[..., Any]) -> MakePlan:
    """Make a plan of a sea that turns, with land in the east: plan(block=3)."""
    axes = np.linspace(37, 39, 21), np.linspace(2, 4, 21)
    u, v = flow(lambda y, x, t: np.where(x > 3.25, np.nan, 0.3), lambda y, x, t: 0.9 * np.sin(3 * x + t), *axes)
    v.values[np.isnan(u.values)] = np.nan

    def make(files: tuple[tuple[str, str], ...] = (("a.nc", "0123456789abcdef"),), **changes: Any) -> Plan:
        protocol = replace(TINY, **changes)
        return Plan(
            protocol=protocol,
            header=header(protocol, list(files), {"names": None}),
            u=u,
            v=v,
            fields=(u, v),
            starts=possible_starts(u.time, protocol, []),
            domain=(37.4, 38.6, 2.4, 3.6),
        )

    return make


def made(folder: Path, plan: Plan) -> Summary:
    fill(folder, plan, lambda *_: None)
    return finish(folder, plan, "a test")


def content(folder: Path) -> dict[str, Any]:
    """All variables of densities.nc and of the fields, and the attributes."""
    found = {}
    for path in sorted(folder.rglob("*.nc")):
        with densities._opened(path) as file:
            found |= {f"{path.name} {name}": its.values.tobytes() for name, its in file.variables.items()}
            found |= {f"{path.name}: {name}": str(its) for name, its in file.attrs.items()}
    return found


def test_a_set_holds_densities_land_losses_and_where_it_comes_from(plan: MakePlan, tmp_path: Path) -> None:
    summary = made(tmp_path / "set", plan())
    with densities.open_counts(tmp_path / "set") as found:
        inside = found.counts.sum(("latitude", "longitude"))
        np.testing.assert_array_equal(inside + found.left + found.beached, 60)
        assert (np.diff(inside.astype(int), axis=1) <= 0).all()
        assert found.counts.dtype == np.uint16
        assert {"start", "release_latitude", "release_longitude", "time"} < set(found.counts.coords)
        assert summary.shape == found.land.shape == found.counts.shape[2:]
        assert summary.inside == pytest.approx(float(inside[:, -1].mean()) / 60)
        assert (summary.left, summary.beached) == (int(found.left[:, -1].sum()), int(found.beached[:, -1].sum()))
        assert summary.beached > 0
        assert set(np.unique(found.land)) == {0, 1}
        assert densities.protocol(found) == plan().protocol.to_json()
        assert '"a.nc", "0123456789abcdef"' in found.attrs["sources"]
        assert '"parcels": "4.' in found.attrs["versions"]
        assert found.attrs["history"] == "a test"
        south, north, *_ = found.attrs["region"]
        np.testing.assert_allclose(found.latitude.values[[0, -1]], [south + 1 / 96, north - 1 / 96])
        np.testing.assert_allclose(found.longitude.values[[0, -1]] * 48 % 1, 0.5)
    edge = found.counts.values[:, :, [0, -1]].sum() + found.counts.values[..., [0, -1]].sum()
    assert edge == 0, "a cell of margin"
    field = densities.open_field(tmp_path / "set", "u")
    assert (field.latitude.values <= south).sum() == 2, "its own cell, and one more"
    assert not (tmp_path / "set/blocks").exists()


def test_counts_are_the_same_again_and_for_other_sizes_of_blocks(plan: MakePlan, tmp_path: Path) -> None:
    for name, block in (("one", 2), ("again", 2), ("other", 5)):
        made(tmp_path / name, plan(block=block))
    one = content(tmp_path / "one")
    assert content(tmp_path / "again") == one
    differing = [name for name, its in content(tmp_path / "other").items() if its != one[name]]
    assert differing == ["densities.nc: protocol"]


def test_what_was_interrupted_after_a_block_ends_as_its_undisturbed_twin(plan: MakePlan, tmp_path: Path) -> None:
    made(tmp_path / "twin", plan())
    seen = []

    def stop(there: int, of: int) -> None:
        seen.append((there, of))
        if there == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "set", plan(), stop)
    assert (done(tmp_path / "set", TINY), state(tmp_path / "set", plan().header)) == (2, "begun")
    with pytest.raises(FileNotFoundError, match="is a set that is not finished"):
        densities.open_counts(tmp_path / "set")
    (tmp_path / "set/blocks/.00001.npz.7.tmp").write_bytes(b"cut short")
    fill(tmp_path / "set", plan(), lambda *both: seen.append(both))
    finish(tmp_path / "set", plan(), "a test")
    assert seen == [(0, 5), (2, 5), (2, 5), (4, 5), (5, 5)]
    assert content(tmp_path / "set") == content(tmp_path / "twin")
    assert state(tmp_path / "set", plan().header) == "finished"


def test_what_leaves_the_region_that_was_asked_for_leaves_the_mass(plan: MakePlan, tmp_path: Path) -> None:
    summary = made(tmp_path / "set", plan(region=(37.9, 38.1, 2.9, 3.1)))
    assert summary.region == pytest.approx((37.895833, 38.104167, 2.895833, 3.104167), abs=1e-6)
    assert summary.left > 0
    with densities.open_counts(tmp_path / "set") as found:
        assert found.left[:, 0].max() > 0, "discs reach out of the box"


@pytest.mark.parametrize("finished", [False, True])
def test_another_protocol_or_other_files_are_refused_with_what_differs(
    plan: MakePlan, tmp_path: Path, finished: bool
) -> None:
    fill(tmp_path / "set", plan(), lambda *_: None)
    if finished:
        finish(tmp_path / "set", plan(), "a test")
    before = {path: path.read_bytes() for path in (tmp_path / "set").rglob("*.n*")}
    asked = plan((("a.nc", "fedcba9876543210"), ("b.nc", "00")), ensembles=7, seed=2).header
    what = "holds a finished set" if finished else "holds a set in the making"
    said = (
        rf"{what} that differs:\n  protocol ensembles: 5 there, 7 asked for\n  protocol seed: 0 there, 2 asked for\n"
        r'  sources a.nc: "sha256 0123456789ab" there, "sha256 fedcba987654" asked for\n'
        r'  sources b.nc: "absent" there, "sha256 00" asked for\nNothing was changed'
    )
    with pytest.raises(ValueError, match=said):
        state(tmp_path / "set", asked)
    assert before == {path: path.read_bytes() for path in (tmp_path / "set").rglob("*.n*")}


def test_two_sources_of_one_name_are_told_apart(plan: MakePlan, tmp_path: Path) -> None:
    fill(tmp_path, plan((("u.nc", "0" * 64), ("u.nc", "1" * 64))), lambda *_: None)
    assert state(tmp_path, plan((("u.nc", "1" * 64), ("u.nc", "0" * 64))).header) == "begun"
    with pytest.raises(
        ValueError, match=r'sources u.nc: "sha256 000000000000, 111111111111" there, "sha256 1{12}, 2{12}"'
    ):
        state(tmp_path, plan((("u.nc", "2" * 64), ("u.nc", "1" * 64))).header)


def test_a_folder_of_something_else_is_refused_and_an_empty_one_is_new(plan: MakePlan, tmp_path: Path) -> None:
    asked = plan().header
    assert state(tmp_path / "absent", asked) == "new"
    (tmp_path / "set/blocks").mkdir(parents=True)
    (tmp_path / "set/blocks/lock.json").touch()  # killed before the header was there
    (tmp_path / f"set/blocks/.{HEADER}.7.tmp").touch()
    (tmp_path / "set/blocks" / HEADER).write_text("{")  # of a set without a block
    assert state(tmp_path / "set", asked) == "new"
    (tmp_path / "set/thesis.tex").touch()
    for place in (tmp_path / "set", tmp_path / "set/thesis.tex"):
        with pytest.raises(ValueError, match=r"is not empty and holds no set .*: (thesis.tex|a file). Nothing was"):
            state(place, asked)


def test_a_damaged_block_or_header_is_named(plan: MakePlan, tmp_path: Path) -> None:
    fill(tmp_path, plan(), lambda *_: None)
    block = tmp_path / "blocks/00001.npz"
    whole = block.read_bytes()
    bits = bytearray(whole)
    for place in range(len(whole) // 4, len(whole) // 2, 7):  # zlib finds some of it, zipfile the rest
        bits[place] ^= 0xFF
    for damaged in (whole[:500], bytes(bits), whole.replace(b"\x08\x00", b"\x63\x00")):
        block.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"00001.npz cannot be read: .* Delete it, and give the same command"):
            finish(tmp_path, plan(), "a test")
    assert not (tmp_path / "densities.nc").exists()
    (tmp_path / "blocks" / HEADER).write_text("{")
    with pytest.raises(ValueError, match=r"protocol.json cannot be read"):
        state(tmp_path, plan().header)
    shutil.rmtree(tmp_path / "blocks")
