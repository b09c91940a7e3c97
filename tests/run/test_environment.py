import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from segfield.run import environment


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one commit, in the project's place; the working directory is a run folder."""
    project, run = tmp_path / "project", tmp_path / "run 0"
    project.mkdir()
    run.mkdir()
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    (project / "code.py").write_text("one\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "One"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(environment, "PROJECT", project)
    (run / "splits.csv").write_text("id,group,part\n")
    monkeypatch.chdir(run)
    return project


def record() -> dict[str, object]:
    environment.record({"threads": 3, "seed": 1}, 7)
    entries: list[dict[str, object]] = yaml.safe_load(Path("environment.yaml").read_text())
    return entries[-1]


def test_a_clean_tree_has_a_commit_and_no_patch(project: Path) -> None:
    entry = record()
    assert len(str(entry["commit"])) == 40
    assert (entry["patch"], entry["untracked"]) == (None, [])
    assert (entry["from_step"], entry["placement"]) == (7, {"threads": 3})


def test_a_dirty_tree_leaves_its_patch_beside_whatever_its_bytes_and_names_new_files(project: Path) -> None:
    record()
    (project / "code.py").write_bytes(b"two \xef\n")
    (project / "new.py").write_text("three\n")
    entry = record()
    assert entry["patch"] == "uncommitted.1.patch"
    assert "+two" in Path("uncommitted.1.patch").read_text()
    assert entry["untracked"] == ["new.py"]


def test_the_command_is_recorded_without_the_run_folders_place(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = str(Path.cwd())
    monkeypatch.setattr(sys, "argv", ["/x/segfield/__main__.py", "execute", place, "threads=10"])
    assert record()["command"] == "python -m segfield execute '<run folder>' threads=10"


def test_a_damaged_file_is_put_aside_by_the_next_execution_and_left_alone_by_readers(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Path("environment.yaml").write_bytes(b"- when: [")
    with pytest.raises(ValueError, match=r"environment\.yaml is damaged: expected a list with an entry per execution"):
        environment.read_environment(Path.cwd())
    assert Path("environment.yaml").exists()
    assert record()["from_step"] == 7
    assert Path("environment.yaml.damaged").read_bytes() == b"- when: ["
    assert "It is put aside as environment.yaml.damaged" in caplog.text
    assert len(yaml.safe_load(Path("environment.yaml").read_text())) == 1


def test_the_code_is_known_by_its_source_files(project: Path) -> None:
    first, second = record(), record()
    assert first["code_sha256"] == second["code_sha256"]
    assert len(str(first["code_sha256"])) == 64
