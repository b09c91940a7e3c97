"""`segfield runs --diff A B`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from segfield.commands.runs import main

MakeRun = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
KEPT = Path(__file__).resolve().parents[3] / "experiments/repeatability/baseline"


def difference(capsys: Capture, *words: str | Path) -> tuple[int, dict[str, list[str]]]:
    """Return the exit code, and the values of both sides by what is compared."""
    code = main([str(word) for word in words])
    rows = [[cell.strip() for cell in line.split("\t")] for line in capsys.readouterr().out.splitlines()]
    return code, {row[0]: row[1:] for row in rows}


def test_keys_that_differ_are_told_with_best_and_final_scores_and_the_code_is_1(
    make_run: MakeRun, capsys: Capture
) -> None:
    one = make_run("a_b/1", best={"val/dice": 0.9})
    other = make_run("a_b/2", {"lr: 0.001": "lr: 0.1", "  - 64\n": "  - 32\n"}, state="failed")
    (one / "metrics.csv").write_text("epoch,step,train/loss,val/loss,val/dice\n0,9,3,2,0.9\n1,19,1,0.5,0.8\n2,29,1,,\n")
    code, found = difference(capsys, "--diff", one, other)
    assert code == 1
    assert found == {
        "key": [str(one), str(other)],
        "state": ["finished", "failed"],
        "optimizer.lr": ["0.001", "0.1"],
        "data.size": ["[64,64]", "[32,32]"],
        "best val/dice": ["0.9", "-"],
        "final val/loss": ["0.5", "-"],
        "final val/dice": ["0.8", "-"],
    }


def test_placement_is_marked_and_is_no_difference(make_run: MakeRun, capsys: Capture) -> None:
    one = make_run("a_b/1", {"num_workers: null": "num_workers: 2"})
    code, found = difference(capsys, "--diff", one, KEPT)
    assert (code, found["data.num_workers (placement)"]) == (0, ["2", "null"])
    assert found["best val/dice"] == ["-", "0.88025"]
    assert found["final val/loss"][0] == "-"
    assert main(["--diff", str(KEPT), str(KEPT)]) == 0
    assert capsys.readouterr().err == "They compute the same; placement does not count.\n"


def test_other_files_of_data_are_another_computation(make_run: MakeRun, capsys: Capture) -> None:
    one, other = make_run("a_b/1"), make_run("a_b/2")
    header = "id,file,bytes,sha256\n"
    for folder, rows in ((one, "a,a.tif,3,00\n"), (other, "b,b.jpg,4,11\nc,c.jpg,4,22\n")):
        (folder / "data.csv").write_text(header + rows)
    code, found = difference(capsys, "--diff", one, other)
    assert (code, found["files of the data"]) == (1, ["1", "2, 3 differ"])
    (other / "data.csv").write_text((one / "data.csv").read_text())
    assert main(["--diff", str(one), str(other)]) == 0


def test_names_as_the_table_shows_them_are_runs_too(make_run: MakeRun, tmp_path: Path, capsys: Capture) -> None:
    make_run("a_b/2026-01-02_03-04-05-000006", {"seed: 0\nthreads": "seed: 1\nthreads"})
    make_run("sweeps/t/0")
    code, found = difference(capsys, tmp_path / "outputs", "--diff", "a_b/2026-01-02_03-04-05*", "sweeps/t/0")
    assert (code, found["seed"]) == (1, ["1", "0"])


def test_as_csv(make_run: MakeRun, tmp_path: Path, capsys: Capture) -> None:
    make_run("1", {"lr: 0.001": "lr: 0.1"})
    make_run("2")
    assert main([str(tmp_path / "outputs"), "--diff", "1", "2", "--csv"]) == 1
    assert capsys.readouterr().out == "key,1,2\nstate,planned,planned\noptimizer.lr,0.1,0.001\n"


def test_a_damaged_config_is_a_wrong_call_and_damaged_scores_are_named(make_run: MakeRun, capsys: Capture) -> None:
    one, other = make_run("1"), make_run("2")
    (one / "metrics.csv").write_text("epoch,step,val/dice\n0,9,0.5\n1,19")
    assert main(["--diff", str(one), str(other)]) == 0
    assert capsys.readouterr().err.count(f"damaged: {one}/metrics.csv: broken, line 3\n") == 1
    (other / "config.yaml").write_text("a: [")
    assert main(["--diff", str(one), str(other)]) == 2
    said = capsys.readouterr().err
    assert f"{other}/config.yaml: no YAML: " in said
    assert "Restore it from a copy of the run." in said
