"""sweep.yaml, also one that others have sent."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from segfield.run.job import Job
from segfield.run.sweep import Sweep, is_sweep, opened


def job(number: int, **changes: Any) -> Job:
    values = {
        "overrides": [f"seed={number}"],
        "digest": f"d{number}",
        "monitor": "val/dice",
        "mode": "max",
        "epochs": 4,
    }
    return Job(number, **{**values, **changes})


def test_a_sweep_that_is_written_is_read_again(tmp_path: Path) -> None:
    jobs = [job(0), job(2, overrides=["data.size=[8, 8]", "a='b: c'", "d=\u00e4\n"]), job(3, digest="d0", same_as=0)]
    assert not is_sweep(tmp_path)
    Sweep(tmp_path).add(jobs)
    assert is_sweep(tmp_path)
    assert list(opened(tmp_path).jobs.values()) == jobs
    assert yaml.safe_load((tmp_path / "sweep.yaml").read_text())["jobs"][0]["overrides"] == ["seed=0"]


def test_it_grows_with_each_batch_and_is_not_written_for_jobs_that_it_holds(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.add([job(0), job(1)])
    before = (tmp_path / "sweep.yaml").stat().st_ino
    Sweep(tmp_path).add([job(0), job(1)])
    assert (tmp_path / "sweep.yaml").stat().st_ino == before
    sweep.add([job(1), job(2)])
    assert list(Sweep(tmp_path).jobs) == [0, 1, 2]


def test_the_highest_number_counts_folders_and_jobs_without_one(tmp_path: Path) -> None:
    assert Sweep(tmp_path / "absent").highest() == -1
    for name in ("3", "007", "12a", "-4"):
        (tmp_path / name).mkdir()
    sweep = Sweep(tmp_path)
    assert sweep.highest() == 3
    sweep.add([job(0), job(5, digest="d0", same_as=0)])
    assert sweep.highest() == 5


ENTRY = {"number": 0, "overrides": [], "digest": "d", "monitor": "val/dice", "mode": "max", "epochs": 4}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no YAML"),
        ("- 1", "lists no jobs, expected jobs: with an entry a job"),
        ("jobs: []", "lists no jobs"),
        ({"jobs": [1]}, "entry 0 must have number, overrides, digest"),
        ({"jobs": [{**ENTRY, "folder": "../x"}]}, "entry 0 must have"),
        ({"jobs": [{**ENTRY, "number": "../x"}]}, "entry 0: number='../x', expected int"),
        ({"jobs": [{**ENTRY, "number": True}]}, "entry 0: number=True"),
        ({"jobs": [{**ENTRY, "number": -1}]}, "number -1 must be 0 or more"),
        ({"jobs": [ENTRY, ENTRY]}, "entry 1: number 0 must be 0 or more, and stand once"),
        ({"jobs": [{**ENTRY, "overrides": [1]}]}, r"overrides=\[1\], expected list"),
        ({"jobs": [{**ENTRY, "epochs": "many"}]}, "epochs='many', expected int"),
        ({"jobs": [{**ENTRY, "monitor": "a\x1b[2J"}]}, "monitor='a.x1b.2J', expected str"),
        ({"jobs": [{**ENTRY, "mode": "most"}]}, "mode='most', expected max or min"),
        ({"jobs": [{**ENTRY, "same_as": 0}]}, "same_as=0 must be the number of an earlier job"),
        ({"jobs": [ENTRY, {**ENTRY, "number": 1, "digest": "e", "same_as": 0}]}, "entry 1: same_as=0"),
        ({"jobs": [ENTRY, {**ENTRY, "number": 1, "same_as": [0]}]}, "entry 1: same_as="),
        ("jobs: !!python/object/apply:os.system ['true']", "is no YAML"),
    ],
)
def test_a_damaged_sweep_is_named_with_what_is_wrong(tmp_path: Path, content: Any, message: str) -> None:
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        opened(tmp_path)
    assert "Restore it from a copy" in str(caught.value)


def test_links_and_pipes_of_a_sweep_that_others_have_sent_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    Sweep(folder).add([job(0), job(1)])
    (folder / "1").mkdir()
    (folder / "0").symlink_to(folder / "1")
    with pytest.raises(ValueError, match="0 is a link: a sweep holds its jobs"):
        opened(folder)
    (folder / "0").unlink()
    (folder / "1/console.txt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"console\.txt is a link that leads out of the run folder"):
        opened(folder)
    (folder / "1/console.txt").unlink()
    os.mkfifo(folder / "sweep.csv")
    with pytest.raises(ValueError, match="neither a file nor a folder nor a link"):
        opened(folder)
