"""Many runs, and what their table does not need."""

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from segfield.commands.runs import main

MakeRun = Callable[..., Path]
COMMAND = (sys.executable, "-m", "segfield", "runs")


@pytest.fixture
def many(make_run: MakeRun, tmp_path: Path) -> Path:
    """2,000 runs; each fourth has a status that says running, each hundredth a config that was cut short."""
    for number in range(2_000):
        changes = {"seed: 0\nthreads": f"seed: {number}\nthreads", "lr: 0.001": f"lr: {10.0 ** -(number % 4)}"}
        state = "finished" if number % 4 else "running"
        folder = make_run(f"sweeps/t/{number}", changes, state=state, best={"val/dice": number / 2_000}, epoch=1)
        if number % 100 == 99:
            (folder / "config.yaml").write_text("model: {")
    return tmp_path / "outputs"


def test_two_thousand_runs_are_read_and_what_is_damaged_among_them_is_named(
    many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(many), "--csv", "--sort", "run"]) == 0
    said = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert [row["run"] for row in rows] == [f"sweeps/t/{number}" for number in range(2_000)]
    sound = [number for number in range(2_000) if number % 100 != 99]
    assert [rows[number]["seed"] for number in sound] == [str(number) for number in sound]
    assert [float(rows[number]["optimizer.lr"]) for number in sound] == [10.0 ** -(number % 4) for number in sound]
    assert [row["best"] for row in rows] == [str(number / 2_000) for number in range(2_000)]
    expected = ["damaged" if n % 100 == 99 else "finished" if n % 4 else "killed" for n in range(2_000)]
    assert [row["state"] for row in rows] == expected
    assert said.err.count("config.yaml: no YAML: ") == 20
    assert f"damaged: {many}/sweeps/t/99/config.yaml: no YAML: " in said.err
    (many / "sweeps/t/0/config.yaml").write_text("")
    assert main([str(many), "--csv"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "damaged: 1 more"


def test_a_reader_that_has_seen_enough_is_no_error(many: Path) -> None:
    with subprocess.Popen([*COMMAND, many, "killed"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.wait(60) == 0
    with subprocess.Popen([*COMMAND, many], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline().startswith(b"run ")
        child.stdout.close()
        said = child.stderr.read()
    assert (child.returncode, said) == (141, b"")


def test_neither_torch_nor_hydra_is_imported(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("unet_blobs/1")
    program = (
        "import sys; from segfield.__main__ import main; code = main(sys.argv[1:]); "
        "slow = {'torch', 'hydra', 'pytorch_lightning', 'numpy', 'rich'} & sys.modules.keys(); "
        "sys.exit(code or ' '.join(slow) or None)"
    )
    command = [sys.executable, "-c", program, "runs", str(tmp_path / "outputs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "unet_blobs/1" in done.stdout


def test_a_stdout_that_takes_ascii_only_gets_escapes(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("\xfcber/1")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = subprocess.run([*COMMAND, tmp_path / "outputs"], capture_output=True, check=True)
    assert rb"\xfcber/1" in done.stdout
