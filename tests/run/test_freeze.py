import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from segfield import files
from segfield.run.freeze import freeze, load
from segfield.run.status import read_status

CONFIG: dict[str, Any] = {
    "seed": 1,
    "threads": 2,
    "data": {"_target_": "segfield.data.folder.Folder", "values": {0: 0, 255: 1}},
    "trainer": {"_target_": "pytorch_lightning.Trainer", "devices": 1},
    "optimizer": {"_target_": "torch.optim.SGD", "lr": 1e-7},
    "model": {"_target_": "segfield.models.unet.UNet"},
    "loss": {"_target_": "segfield.losses.BCEDice"},
    "metrics": {"_target_": "torchmetrics.MetricCollection"},
    "task": {"_target_": "segfield.task.PixelwiseTask"},
    "callbacks": None,
}


def test_a_frozen_config_is_plain_yaml_and_reads_back_as_it_was(tmp_path: Path) -> None:
    freeze(CONFIG, tmp_path / "run", {"overrides.yaml": "- seed=1\n"})
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text()) == load(tmp_path / "run") == CONFIG
    assert (tmp_path / "run/.hydra/overrides.yaml").read_text() == "- seed=1\n"
    assert read_status(tmp_path / "run") == {"state": "planned"}


def test_freezing_the_same_config_again_changes_nothing_whatever_the_placement(tmp_path: Path) -> None:
    freeze(CONFIG, tmp_path)
    before = (tmp_path / "config.yaml").read_bytes()
    freeze({**CONFIG, "threads": 8}, tmp_path)
    assert (tmp_path / "config.yaml").read_bytes() == before


def test_another_config_is_refused_with_the_keys_that_differ_and_nothing_changes(tmp_path: Path) -> None:
    freeze(CONFIG, tmp_path, {"overrides.yaml": "old"})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"seed: 1 there, 2 now\n  optimizer.lr: 1e-07 there, 0.5 now"):
        freeze(
            {**CONFIG, "seed": 2, "optimizer": {**CONFIG["optimizer"], "lr": 0.5}}, tmp_path, {"overrides.yaml": "new"}
        )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_without_config_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is no run folder: it has no config\.yaml"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "is no YAML"),
        (b"[" * 5000, "is no YAML"),
        (b"a: !!timestamp 1", "is no YAML"),
        (b"a: !!bool x", "is no YAML"),
        (b"a: !!int ''", "is no YAML"),
        (b"a: &a {b: 1}\nc: {<<: *a}", r"is no YAML: mappings are merged \(<<\)"),
        (b"a: \xff\xfe", "is no YAML"),
        (b"seed: 1", "is no frozen config"),
        (b"- 1", "is no frozen config"),
        (b"", "is no frozen config"),
    ],
)
def test_a_damaged_config_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=rf"config\.yaml {message}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, r"model must be a mapping with _target_, found None"),
        ({"loss": [1]}, r"loss must be a mapping with _target_, found \[1\]"),
        ({"optimizer": {"lr": 1}}, r"optimizer must be a mapping with _target_, found \{'lr': 1\}"),
        ({"callbacks": "none"}, r"callbacks must be a mapping or null, found 'none'"),
        ({"seed": "1"}, r"seed must be a whole number, 0 or more, found '1'"),
        ({"threads": 0}, r"threads must be a whole number, 1 or more, found 0"),
        ({"threads": True}, r"threads must be a whole number, 1 or more, found True"),
        ({"loss": {"_target_": "os.system"}}, r"loss\._target_=os\.system is not allowed"),
        ({"logger": {"a": "../x"}}, r"logger\.a=\.\./x leads out of the run folder"),
    ],
)
def test_a_config_edited_into_nonsense_is_named_by_key(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_a_kept_config_without_threads_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "threads": None}))
    assert load(tmp_path)["threads"] is None


def test_a_folder_with_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    freeze(CONFIG, tmp_path / "run")
    (tmp_path / "run/trace.csv").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match=r"trace\.csv is a link that leads out of the run folder"):
        load(tmp_path / "run")


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"holds thesis\.tex, but no config\.yaml"):
        freeze(CONFIG, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_of_two_that_freeze_at_once_one_wins_and_the_other_is_told_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files.os.link

    def link(source: Path, target: Path) -> None:
        if target.name == "config.yaml":  # the other one, between the look and the writing
            monkeypatch.setattr(files.os, "link", write)
            freeze({**CONFIG, "seed": 2}, tmp_path, {"overrides.yaml": "winner"})
            (tmp_path / "status.json").write_text('{"state": "running"}')
        write(source, target)

    monkeypatch.setattr(files.os, "link", link)
    with pytest.raises(ValueError, match="seed: 2 there, 1 now"):
        freeze(CONFIG, tmp_path, {"overrides.yaml": "loser"})
    assert (tmp_path / ".hydra/overrides.yaml").read_text() == "winner"
    assert read_status(tmp_path)["state"] == "running"
    assert load(tmp_path)["seed"] == 2


def test_of_real_processes_that_freeze_at_once_one_wins_with_all_its_files(tmp_path: Path) -> None:
    children = []
    for seed in range(6):
        child = os.fork()
        if child == 0:
            code = 3
            try:
                while not (tmp_path / "go").exists():
                    time.sleep(0.001)
                freeze({**CONFIG, "seed": seed}, tmp_path / "run", {"overrides.yaml": f"- seed={seed}\n"})
                code = 0
            except ValueError as error:
                code = 1 if f"there, {seed} now" in str(error) else 2
            finally:
                os._exit(code)
        children.append(child)
    (tmp_path / "go").touch()
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(codes) == [0, 1, 1, 1, 1, 1]
    winner = codes.index(0)
    assert load(tmp_path / "run")["seed"] == winner
    assert (tmp_path / "run/.hydra/overrides.yaml").read_text() == f"- seed={winner}\n"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".hydra", "config.yaml", "status.json"]
