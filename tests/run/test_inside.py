import importlib
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger

from segfield.run.inside import apart, links_outside, nodes, paths_outside


@pytest.mark.parametrize(
    "word",
    [
        "/tmp/x", "..", "../x", "a/../../x", "a/..", "~", "~user/x", "//host/x", "file:///tmp/x", "file:/tmp/x",
        "file:x", "s3://bucket", "memory:x", "simplecache::x", "C:\\x", "C:x", "\\\\host\\x", "..\\x", "a\\..\\..\\x",
        "\\x", "$HOME/x", "a$SLASH..", "a\0b",
    ],
)  # fmt: skip
def test_a_word_that_could_lead_outside_is_refused_wherever_it_stands(word: str) -> None:
    for config in ({"a": {"b": word}}, {"a": {"b": ["x", [word]]}}, {"a": [{"b": {"c": word}}]}, {"a": {word: 1}}):
        (error,) = paths_outside(config)
        assert "leads out of the run folder: a run writes inside its own folder only. Use a relative path" in error
        assert error.startswith("a")


@pytest.mark.parametrize(
    "word",
    [
        "checkpoints", "a/b.csv", ".", "", "best", "val/dice", "16-mixed", "a..b", "...", "{epoch}-{val/dice:.3f}",
        "{step:06d}", "00:12:00:00", "1e-3", "a b", "a~",
    ],
)  # fmt: skip
def test_words_that_stay_inside_are_fine(word: str) -> None:
    assert paths_outside({"a": {"b": [word], word: word}}) == []


@pytest.mark.parametrize("word", ["${oc.env:HOME}", "a${b}", "${oc.decode:x}"])
def test_an_interpolation_is_refused_in_values_and_keys(word: str) -> None:
    for config in ({"a": {"b": word}}, {"a": {word: 1}}, {"a": [[word]]}):
        (error,) = paths_outside(config)
        assert "is an interpolation: a frozen config holds values. Write the value." in error


@pytest.mark.parametrize(
    "word", ["{epoch:/>9}", "{epoch.__doc__}", "{epoch!r}", "{0[a]}", "{epoch:{step}}", "{{epoch}}", "{", "}", "{}"]
)
def test_a_field_that_writes_more_than_a_number_is_refused(word: str) -> None:
    (error,) = paths_outside({"callbacks": {"best": {"filename": word}}})
    assert f"callbacks.best.filename={word} has a field that can write any character. Use {{name}} or" in error


def test_lightning_would_make_an_absolute_path_of_such_a_field_and_expand_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    best = ModelCheckpoint(dirpath="checkpoints", filename="{step:/>3}", auto_insert_metric_name=False)
    assert best.format_checkpoint_name({"step": torch.tensor(7)}) == "//7.ckpt"
    monkeypatch.setenv("AWAY", "/away")
    assert TensorBoardLogger("$AWAY", name="", version="").log_dir.startswith("/away")


def test_only_the_places_of_data_lie_elsewhere_not_its_other_settings() -> None:
    places = {"root": "/data", "images": "/a", "masks": "/b", "cache_dir": "/c", "group_pattern": "^/(..)/../x$"}
    places |= {"split_file": "/d/parts.csv", "fold_file": "/e/cvind.mat"}
    assert paths_outside({"data": places}) == []
    for name in ("mask_pattern", "name", "roots"):
        assert len(paths_outside({"data": {name: "../../{stem}"}})) == 1
    assert len(paths_outside({"data": {"root": ["/data"]}})) == 1
    assert len(paths_outside({"other": {"data": {"root": "/data"}}})) == 1


def test_only_the_target_itself_is_no_path() -> None:
    assert paths_outside({"a": {"_target_": "/x"}}) == []  # whitelist.py's
    assert len(paths_outside({"a": {"save_dir_target_": "/x"}})) == 1


def test_a_long_word_is_shown_in_part_and_without_control_characters() -> None:
    (error,) = paths_outside({"a": "/\x1b[2J" + "x" * 10_000})
    assert len(error) < 500
    assert "\x1b" not in error


def test_a_config_that_holds_itself_or_explodes_is_refused() -> None:
    ring: dict[str, Any] = {}
    ring["a"] = ring
    bomb: list[Any] = [1]
    for _ in range(20):
        bomb = [bomb] * 9
    for config in (ring, {"a": bomb}):
        (error,) = paths_outside(config)
        assert "nested deeper than 32 levels or holds more than 100000 values" in error
        assert "Write it without YAML aliases." in error
    with pytest.raises(ValueError, match="nested deeper"):
        list(nodes(ring))


TRACE, CSV = "segfield.callbacks.trace.Trace", "segfield.callbacks.metrics_csv.MetricsCsv"
LAST, BEST = "segfield.callbacks.last_checkpoint.LastCheckpoint", "pytorch_lightning.callbacks.ModelCheckpoint"
LOGGER, EVENTS = "pytorch_lightning.loggers.CSVLogger", "segfield.callbacks.tensorboard.TensorBoard"


@pytest.mark.parametrize(
    "word",
    [
        "config.yaml", "./config.yaml", "a/..config.yaml/../config.yaml", "Config.YAML", "status.json", "lock.json",
        "environment.yaml", "splits.csv", "data.csv", "parent.yaml", "weights.sha256", "verdict.json", "log.txt",
        "statistics.npz",
        ".hydra", ".hydra/overrides.yaml", "config.yaml/x", "trace.csv/x", "checkpoints/previous.ckpt",
        "checkpoints//last.ckpt", "checkpoints\\last.ckpt", "metrics.csv", "checkpoints/best.ckpt",
    ],
)  # fmt: skip
def test_a_file_of_the_run_is_nobody_elses(word: str) -> None:
    for node in ({"_target_": TRACE, "path": word}, {"_target_": BEST, "dirpath": word}, {"save_dir": [word]}):
        errors = paths_outside({"callbacks": {"x": node}})
        assert len(errors) == 1, errors
        assert errors[0].startswith("callbacks.x.")
        if ".." not in word:
            assert errors[0].endswith(f"={word} is the run's own. Choose another name.")


def test_a_class_may_name_its_own_file() -> None:
    own = {
        "trace": {"_target_": TRACE, "path": "trace.csv"},
        "metrics": {"_target_": CSV, "path": "metrics.csv"},
        "last": {"_target_": LAST, "path": "checkpoints/last.ckpt"},
        "best": {"_target_": BEST, "dirpath": "checkpoints", "filename": "best"},
        "events": {"_target_": EVENTS, "path": "tensorboard"},
        "lightnings": {"_target_": LOGGER, "save_dir": "."},
    }
    assert paths_outside({"callbacks": own}) == []
    words = ["config", "data", "log", "last", "best", "trace", "metrics", "checkpoints", "tensorboard", "a/config.yaml"]
    assert paths_outside({"model": {"words": words, **{word: word for word in words}}}) == []


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": BEST, "dirpath": "checkpoints", "filename": "last"},
         "x.filename makes checkpoints/last.ckpt, which is the run's own"),
        ({"_target_": BEST, "filename": "previous"}, "x.filename makes checkpoints/previous.ckpt, which is the run's"),
        ({"_target_": LOGGER, "save_dir": ".", "name": "", "version": ""}, "x.save_dir makes ./././metrics.csv, which"),
        ({"_target_": TRACE, "path": "checkpoints"}, "x.path=checkpoints is a folder, expected the name of a file."),
        ({"_target_": CSV, "path": ""}, "x.path= is a folder"),
    ],
)  # fmt: skip
def test_what_several_keys_make_together_is_no_file_of_the_run(node: dict[str, Any], message: str) -> None:
    (error,) = paths_outside({"x": node})
    assert error.startswith(message)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"_target_": TRACE}, {"_target_": TRACE}),
        ({"_target_": TRACE, "path": "a"}, {"_target_": CSV, "path": "./a"}),
        ({"_target_": BEST, "filename": "a"}, {"_target_": BEST, "dirpath": "checkpoints", "filename": "a"}),
        ({"_target_": EVENTS}, {"_target_": EVENTS, "path": "tensorboard"}),
    ],
)
def test_two_nodes_never_write_the_same_file(first: dict[str, Any], second: dict[str, Any]) -> None:
    (error,) = paths_outside({"callbacks": {"one": first, "two": second}})
    assert {"callbacks.one", "callbacks.two"} <= set(error.replace(".path", "").replace(".filename", "").split())
    assert " does. Choose another " in error


def test_what_is_neither_file_nor_folder_is_found(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(run / "status.json")
    os.mkfifo(run / "checkpoints/last.ckpt")
    monkeypatch.chdir(run)  # a socket's address is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("log.txt")
        found = links_outside(run)
    assert sorted(found) == [
        f"{run / name} is neither a file nor a folder nor a link: no run holds that. Remove it."
        for name in ("checkpoints/last.ckpt", "log.txt", "status.json")
    ]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/checkpoints/best.ckpt").touch()
    return tmp_path / "run"


def test_links_that_lead_out_are_found_at_any_depth(run: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (run / "ranks").symlink_to(tmp_path / "elsewhere")
    (run / "trace.csv").symlink_to("../elsewhere/trace.csv")  # dangles
    (run / "checkpoints/last.ckpt").symlink_to("../first")
    (run / "first").symlink_to("second")
    (run / "second").symlink_to(tmp_path / "elsewhere")
    (run / "ring").symlink_to("ring")
    (run / "up").symlink_to("..")
    found = links_outside(run)
    names = ("checkpoints/last.ckpt", "first", "ranks", "ring", "second", "trace.csv", "up")
    assert sorted(error.split(" is a link")[0] for error in found) == sorted(str(run / name) for name in names)
    assert all("leads out of the run folder" in error and "link the folder." in error for error in found)


def test_links_within_the_folder_and_to_the_folder_are_fine(run: Path, tmp_path: Path) -> None:
    (run / "checkpoints/last.ckpt").symlink_to("best.ckpt")
    (run / "newest").symlink_to(run / "checkpoints")
    (run / "to come").symlink_to("not/there/yet")
    (tmp_path / "mine").symlink_to(run)
    (tmp_path / "outputs").symlink_to(tmp_path)
    for folder in (run, tmp_path / "mine", tmp_path / "outputs/run", tmp_path / "outputs/mine"):
        assert links_outside(folder) == []


def test_a_folder_beside_whose_name_begins_alike_is_outside(run: Path, tmp_path: Path) -> None:
    (tmp_path / "run2").mkdir()
    (run / "x").symlink_to(tmp_path / "run2")
    assert len(links_outside(run)) == 1


@pytest.mark.parametrize("entry", ["", ".", "RUN", "RUN/checkpoints", "LINK"])
def test_nothing_is_imported_from_a_run_folder(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    (tmp_path / "link").symlink_to(run)
    for place in (run, run / "checkpoints"):
        (place / "sent_by_others.py").write_text("raise AssertionError('imported')")
    (tmp_path / "of_the_user.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry.replace("RUN", str(run)).replace("LINK", "link"), str(tmp_path), *sys.path])
    before = sys.path[:]
    with apart(run):
        monkeypatch.chdir(run)
        with pytest.raises(ModuleNotFoundError, match="sent_by_others"):
            importlib.import_module("sent_by_others")
        importlib.import_module("of_the_user")
    assert sys.path == before
    del sys.modules["of_the_user"]
