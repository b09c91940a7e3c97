"""Nothing of ours unpickles a file or hands text to a shell or to Python."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FILES = sorted([PROJECT / "train.py", *(PROJECT / "src").rglob("*.py"), *(PROJECT / "experiments").rglob("*.py")])
NEVER = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.load_all", "yaml.unsafe_load",
    "yaml.full_load", "np.fromfile", "torch.hub.load", "torch.jit.load", "runpy.run_path", "shutil.unpack_archive",
}  # fmt: skip
PICKLES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "pandas"}


def unsafe(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (name for name in names if name.partition(".")[0] in PICKLES)
        if isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in NEVER or "pickle" in name or given.get("shell", "False") != "False":
                yield name
            if name == "torch.load" and given.get("weights_only") != "True":
                yield "torch.load without weights_only=True"
            if name in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
                yield "np.load without allow_pickle=False"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PROJECT)))
def test_no_file_is_unpickled_and_no_text_is_run(file: Path) -> None:
    assert list(unsafe(file.read_text())) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, yaml.Loader)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_what_is_unsafe_is_found(line: str) -> None:
    assert list(unsafe(line))


def test_what_is_safe_is_not() -> None:
    lines = "torch.load(p, weights_only=True)", "np.load(p, allow_pickle=False)", "yaml.safe_load(t)", "model.eval()"
    assert not list(unsafe("\n".join(lines)))
