"""Bad data as a user of train.py meets it: a clear answer, nothing lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from segfield.data.demo import prepare_carvana
from segfield.run import compose as composing
from segfield.run.check import problems

PROJECT = Path(__file__).resolve().parents[1]
Cli = Callable[..., Any]
FAST = ("model=unet", "model.width=4", "debug=fast", "threads=1", "data=carvana")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Carvana of drawn cars."""
    folder = tmp_path_factory.mktemp("carvana") / "demo"
    prepare_carvana(folder, cars=3, views=2, size=(128, 192), test_cars=1)
    return folder


@pytest.fixture
def carvana(drawn: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(drawn, tmp_path / "carvana"))


def test_carvana_trains_on_files_in_its_layout(cli: Cli, drawn: Path, only_run: Callable[[], Path]) -> None:
    outcome = cli("train.py", *FAST, f"data.root={drawn}", "data.size=[64,95]")
    assert outcome.code == 0, outcome.err
    rows = (only_run() / "splits.csv").read_text().splitlines()[1:]
    cars = {part: {row.split(",")[1] for row in rows if row.endswith(part)} for part in ("train", "val")}
    assert len(rows) == 6
    assert not cars["train"] & cars["val"]
    assert str(drawn) not in "\n".join(rows)


def test_a_relative_root_is_relative_to_where_the_command_is_typed(
    cli: Cli, drawn: Path, only_run: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(drawn.parent)
    assert cli("train.py", *FAST, f"data.root={drawn.name}").code == 0
    assert f"root: {drawn}" in (only_run() / "config.yaml").read_text()


def test_segfield_data_names_the_place_where_data_stand(
    cli: Cli, drawn: Path, only_run: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/carvana").symlink_to(drawn)
    monkeypatch.setenv("SEGFIELD_DATA", str(tmp_path / "disk"))
    outcome = cli("train.py", *FAST)
    assert outcome.code == 0, outcome.err
    assert "root: null" in (only_run() / "config.yaml").read_text()


def test_a_missing_root_says_what_was_looked_for_where_and_how_to_try_without(
    cli: Cli, tmp_path: Path, outputs: Path
) -> None:
    outcome = cli("train.py", *FAST, f"data.root={tmp_path / 'nowhere'}")
    assert outcome.code == 2
    for part in (str(tmp_path / "nowhere"), "train", "Kaggle", "data.root=", "prepare demo carvana", "data=blobs"):
        assert part in outcome.err
    assert not list(outputs.glob("*/*/*"))


def test_an_empty_root_has_no_cars(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = cli("train.py", *FAST, f"data.root={tmp_path / 'empty'}")
    assert outcome.code == 2
    assert "prepare demo carvana" in outcome.err


def test_one_car_alone_cannot_be_split(cli: Cli, tmp_path: Path) -> None:
    prepare_carvana(tmp_path / "one", cars=1, views=2, size=(64, 96), test_cars=0)
    outcome = cli("train.py", *FAST, f"data.root={tmp_path / 'one'}")
    assert outcome.code == 2
    assert "A split by group needs at least 2 groups; the only group is" in outcome.err


def test_what_data_modules_warn_of_is_left_to_the_run_that_follows_a_check(
    carvana: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sorted((carvana / "train").iterdir())[0].unlink()
    composing.register()
    with initialize_config_dir(str(PROJECT / "conf")):
        words = [*FAST, f"data.root={carvana}"]
        config: Any = OmegaConf.to_container(compose("train", words), resolve=True)
    assert list(problems(config, tmp_path / "run")) == []
    assert "have no photograph" not in caplog.text
    assert list(problems(config, tmp_path / "run", facts={})) == []  # the verb check: no run follows
    assert caplog.text.count("have no photograph") == 1


def test_a_photograph_without_a_mask_is_named(cli: Cli, carvana: Path) -> None:
    mask = sorted((carvana / "train_masks").iterdir())[3]
    mask.unlink()
    outcome = cli("train.py", *FAST, f"data.root={carvana}")
    assert outcome.code == 2
    assert mask.name.removesuffix("_mask.gif") in outcome.err


def test_a_bogus_train_masks_csv_is_rejected_whatever_its_name(cli: Cli, carvana: Path) -> None:
    shutil.rmtree(carvana / "train_masks")
    (carvana / "train_masks.csv").write_text("pixel,label\n1,2\n")
    outcome = cli("train.py", *FAST, f"data.root={carvana}")
    assert outcome.code == 2
    assert "img,rle_mask" in outcome.err
    assert "pixel,label" in outcome.err


def damage_truncated(path: Path) -> str:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return "is damaged or cut short"


def damage_pointer(path: Path) -> str:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    return "git lfs pull"


def damage_size(path: Path) -> str:
    with Image.open(path) as picture:
        small = picture.resize((20, 10))
    small.save(path)
    return "10x20 (HxW)" if path.suffix == ".gif" else "is 10x20"


@pytest.mark.parametrize("damage", [damage_truncated, damage_pointer, damage_size])
@pytest.mark.parametrize("folder", ["train", "train_masks"])
def test_a_damaged_file_is_named_before_the_run_and_the_same_command_runs_once_it_is_mended(
    cli: Cli, carvana: Path, tmp_path: Path, damage: Callable[[Path], str], folder: str
) -> None:
    before = {path: path.read_bytes() for path in (carvana / folder).iterdir()}
    for path in sorted(before):
        text = damage(path)
    run = tmp_path / "run"
    arguments = (*FAST, f"data.root={carvana}", f"hydra.run.dir={run}")
    outcome = cli("train.py", *arguments)
    assert outcome.code == 2  # every sample is damaged, also those that check reads
    assert "Traceback" not in outcome.err
    assert text in outcome.err
    assert any(path.name in outcome.err for path in before)

    assert not run.exists()
    for path, content in before.items():
        path.write_bytes(content)
    assert cli("train.py", *arguments).code == 0
    assert json.loads((run / "status.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_that_the_check_does_not_read_fails_the_run_with_its_path(
    cli: Cli, carvana: Path, tmp_path: Path, workers: int
) -> None:
    run = tmp_path / "run"
    assert cli("train.py", *FAST, f"data.root={carvana}", f"hydra.run.dir={run}").code == 0
    new = tmp_path / "new"
    new.mkdir()
    shutil.copy(run / "config.yaml", new)
    rows = [row.split(",") for row in (run / "splits.csv").read_text().splitlines()[1:]]
    read = {next(name for name, _, other in rows if other == part) for part in ("train", "val")}
    for name in {name for name, _, _ in rows} - read:
        damage_truncated(carvana / name)
    outcome = cli("segfield", "execute", new, f"data.num_workers={workers}")
    assert outcome.code == 1
    status = json.loads((new / "status.json").read_text())
    assert status["state"] == "failed"
    assert str(carvana / "train") in status["reason"]
    assert "Traceback" not in outcome.err
