"""A run folder that brings modules of its own: none is imported, wherever the command is typed. Real commands."""

import subprocess
import sys
from pathlib import Path

import pytest

MODULES = ("yaml", "torch", "argparse", "csv", "json", "difflib", "fcntl", "numpy", "pytorch_lightning", "segfield_x")


@pytest.fixture
def brought(folder: Path, outside: Path) -> Path:
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"open({str(outside)!r}, 'w').close()\n")
    return folder


def test_no_module_of_a_run_folder_is_imported_where_the_command_is_typed_in_it(brought: Path, outside: Path) -> None:
    words = [sys.executable, "-m", "segfield", "execute", ".", "no.placement=1"]
    done = subprocess.run(words, cwd=brought, check=False, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "no.placement is no placement" in done.stderr
    assert not outside.exists()


@pytest.mark.slow
def test_no_module_of_a_run_folder_is_imported_in_a_notebook(brought: Path, outside: Path) -> None:
    code = f"import sys; assert sys.path[0] == ''; from segfield.run.execute import attempt; attempt({brought.name!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=brought.parent, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not outside.exists()
