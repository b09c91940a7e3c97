import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from segfield.__main__ import main

pytest.importorskip("parcels", reason="advection needs the extra: pip install -e '.[ocean]'")


def start(words: list[str], log: Path, largest: int | None = None) -> int:
    """Run the command in a child process that writes no file larger than `largest` bytes; return its id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        if largest is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        out = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        code = main(words)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def wait_for(blocks: int, out: Path) -> None:
    limit = time.monotonic() + 60
    while len(list((out / "blocks").glob("0*.npz"))) < blocks:
        assert time.monotonic() < limit
        time.sleep(0.005)


@pytest.mark.parametrize("largest", [6_000, 12_000])
def test_a_disk_without_room_for_the_set_is_named_and_the_same_command_goes_on(
    cli: Callable[..., Any], sea: Path, tmp_path: Path, largest: int
) -> None:
    out, log = tmp_path / "set", tmp_path / "log"
    words = ["prepare", "ocean_density", f"fields={sea}", f"out={out}", "box=[37.8,38.2,2.4,3.4]", "margin=0.3"]
    words += ["ensembles=4", "particles=20", "block=2", "days=1", "every_hours=12", "dt_hours=6", "resolution=200"]
    code = os.waitstatus_to_exitcode(os.waitpid(start(words, log, largest), 0)[1])
    said = log.read_text()
    assert code == 1, said
    assert re.search(rf"File too large: {out}/\S*nc cannot be written. Make room, then give the same command", said)
    assert not (out / "densities.nc").exists()
    assert not list(out.rglob("*.tmp"))
    assert "Going on in" in cli("segfield", *words).out
    assert (out / "densities.nc").exists()


@pytest.mark.slow
def test_a_command_that_is_killed_again_and_again_makes_the_set_of_its_undisturbed_twin(
    cli: Callable[..., Any], sea: Path, tmp_path: Path
) -> None:
    words = ["prepare", "ocean_density", f"fields={sea}", "box=[37.8,38.2,2.4,3.4]", "margin=0.3", "ensembles=9"]
    words += ["particles=300", "block=2", "days=2", "resolution=20"]
    assert cli("segfield", *words, f"out={tmp_path / 'twin'}").code == 0
    out, log = tmp_path / "set", tmp_path / "log"
    for blocks, number, code in ((1, signal.SIGKILL, -9), (2, signal.SIGTERM, 143), (3, signal.SIGINT, 130)):
        child = start([*words, f"out={out}"], log)
        wait_for(blocks, out)
        os.kill(child, number)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code, log.read_text()
        assert not (out / "densities.nc").exists()
        if number != signal.SIGKILL:
            assert " of 9 ensembles in " in log.read_text()
            assert "the same command goes on from there" in log.read_text()
    rival = start([*words, f"out={out}"], log)
    wait_for(4, out)
    os.kill(rival, signal.SIGSTOP)
    refused = cli("segfield", *words, f"out={out}")
    assert refused.code == 1
    assert f"is being executed already, by process {rival}" in refused.err
    os.kill(rival, signal.SIGKILL)
    os.waitpid(rival, 0)
    outcome = cli("segfield", *words, f"out={out}")
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in out.rglob("*")) == ["densities.nc", "fields", "u.nc", "v.nc"]
    for name in ("densities.nc", "fields/u.nc", "fields/v.nc"):
        with (
            xr.open_dataset(tmp_path / "twin" / name, engine="h5netcdf") as twin,
            xr.open_dataset(out / name, engine="h5netcdf") as found,
        ):
            assert list(found.variables) == list(twin.variables)
            for variable, values in twin.variables.items():
                assert np.asarray(values).tobytes() == np.asarray(found[variable]).tobytes(), (name, variable)
