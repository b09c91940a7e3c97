"""What needs no torch: found first, told first."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from segfield.run import compose as composing
from segfield.run.check import CheckError, announce, check, problems

PROJECT = Path(__file__).resolve().parents[2]
Config = dict[str, Any]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.delenv("SEGFIELD_ALLOW", raising=False)
    composing.register()
    with initialize_config_dir(str(PROJECT / "conf")):
        words = ["debug=fast", "data.length=10", "threads=1", "scheduler=cosine"]
        resolved: Any = OmegaConf.to_container(compose("train", words), resolve=True)
    return dict(resolved)


def change(config: Config, key: str, value: object) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        config = config.setdefault(parent, {})
    config[last] = value


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", None, r"^seed=null must be a whole number, from 0 to 4294967295\. Use seed=0\.$"),
        ("seed", 2**32, r"^seed=4294967296 must be a whole number"),
        ("threads", 0, r"^threads=0 must be a number of processor cores, 1 or more\. Use threads=1\.$"),
        ("threads", True, r"^threads=true must be a number of processor cores"),
        ("trainer.max_epochs", "abc", r"^trainer\.max_epochs=abc must be a number of epochs, 1 or more"),
        ("trainer.max_steps", 6, r"^trainer\.max_steps=6: .*not continued exactly\. Use trainer\.max_epochs"),
        ("trainer.max_epochs", 0, r"^trainer\.max_epochs=0 must be"),
        ("trainer.accumulate_grad_batches", 0, r"^trainer\.accumulate_grad_batches=0 must be a number of slices"),
        ("data.batch_size", 0, r"^data\.batch_size=0 must be a number of samples, 1 or more"),
        ("data.num_workers", -1, r"^data\.num_workers=-1 must be a number of processes, 0 or more"),
        ("trainer.devices", 0, r"^trainer\.devices=0 must be a number of devices of one machine, or auto; .*devices=1"),
        ("trainer.num_nodes", 0, r"^trainer\.num_nodes=0 must be a number of machines, 1 or more"),
        ("trainer.strategy", "deepspeed", r"^trainer\.strategy=deepspeed is none of auto, ddp, fsdp, .*strategy=ddp"),
        ("trainer.precision", "bf16-true", r"^trainer\.precision=bf16-true: .*bf16-mixed"),
        ("trainer.limit_train_batches", 0, r"^trainer\.limit_train_batches=0 trains nothing"),
        ("trainer.limit_val_batches", 0, r"^trainer\.limit_val_batches=0 validates nothing\. Use 1\.0"),
        ("trainer.check_val_every_n_epoch", 0, r"^trainer\.check_val_every_n_epoch=0 must be a number of epochs, 1 or"),
        ("trainer.check_val_every_n_epoch", 2, r"^trainer\.check_val_every_n_epoch=2 is more than trainer\.max_epochs"),
        ("trainer.log_every_n_steps", -1, r"^trainer\.log_every_n_steps=-1 must be a number of steps, 0 or more"),
        ("trainer.num_sanity_val_steps", -2, r"^trainer\.num_sanity_val_steps=-2 must be a number of batches, -1 or"),
        ("trainer.val_check_interval", "00:00:01:00", r"^trainer\.val_check_interval=00:00:01:00 .*by the clock"),
        ("trainer.val_check_interval", 0, r"^trainer\.val_check_interval=0 must be a share of an epoch"),
        ("trainer.fast_dev_run", True, r"^trainer\.fast_dev_run=true would keep no checkpoint.*Use debug=fast"),
        ("trainer.overfit_batches", 1, r"^trainer\.overfit_batches=1 would change the order of the data"),
        ("callbacks.trace.path", "config.yaml", r"^callbacks\.trace\.path=config\.yaml is the run's own\. Choose"),
        ("trainer.default_root_dir", "/tmp", r"^trainer\.default_root_dir=/tmp leads out of the run folder"),
        (
            "model._target_",
            "segfield.models.unet.UNnet",
            r"is not allowed.*did you mean segfield\.models\.unet\.UNet\?",
        ),
        ("callbacks.new", {"a": {"_target_": "os.system"}}, r"^callbacks\.new\.a\._target_=os\.system is not allowed"),
        (
            "callbacks.new",
            3,
            r"^callbacks\.new must name a class with callbacks\.new\._target_; it is 3.*~callbacks\.new",
        ),
        ("callbacks", [1], r"^callbacks must be nodes by name, as in conf/callbacks/; it is \[1\]"),
        ("loss", 3, r"^loss must name a class with loss\._target_; it is 3"),
        ("loss", None, r"^loss is missing: choose one, loss=<an option of conf/loss/>"),
        ("modle", {}, r"^modle is no part of a run, which has model, .*; did you mean model\?"),
        ("model.width", "???", r"^model\.width must be given: model\.width=<value>\.$"),
        ("data.size", [32, "???"], r"^data\.size must be given"),
    ],
)
def test_the_first_phase_says_what_is_wrong_and_how_to_mend_it(
    config: Config, tmp_path: Path, key: str, value: object, message: str
) -> None:
    change(config, key, value)
    found = problems(config, tmp_path / "run")
    with pytest.raises(AssertionError, match=message):  # re.search with pytest's report of what was found
        raise AssertionError(next(found))


def test_a_key_that_is_absent_is_wrong_only_where_no_class_has_a_default(config: Config, tmp_path: Path) -> None:
    del config["data"]["num_workers"], config["seed"], config["trainer"]["max_epochs"]
    found = problems(config, tmp_path / "run")
    assert [next(found), next(found)] == [
        "seed must be a whole number, from 0 to 4294967295. Use seed=0.",
        "trainer.max_epochs must be a number of epochs, 1 or more. Use trainer.max_epochs=10.",
    ]


def test_a_config_that_holds_itself_ends_the_check(config: Config, tmp_path: Path) -> None:
    config["model"]["self"] = config["model"]
    with pytest.raises(CheckError, match="nested deeper") as raised:
        check(config, tmp_path / "run")
    assert len(raised.value.errors) == 1


def test_a_whole_package_in_the_environment_ends_the_check(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGFIELD_ALLOW", "torch.*")
    with pytest.raises(CheckError, match="takes exact names"):
        check(config, tmp_path / "run")


def test_a_place_below_a_file_is_refused(config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = next(problems(config, tmp_path / "file/run"))
    assert f"{tmp_path / 'file'} is a file. Choose another place with SEGFIELD_OUTPUTS=<folder>, hydra.run" in error


def test_a_place_that_is_read_only_is_refused(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert f"{tmp_path} cannot be written to. Choose another place" in next(problems(config, tmp_path / "a/run"))


def test_errors_are_written_when_they_are_found_under_one_header(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def found() -> Any:
        yield "one"
        seen.append(capsys.readouterr().err)
        yield "two"

    assert announce(found(), "Wrong:")
    assert seen == ["Wrong:\n- one\n"]
    assert capsys.readouterr().err == "- two\n"
    assert not announce([])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", [["-m", "segfield", "check"], [str(PROJECT / "train.py")]], ids=["check", "train"])
def test_the_first_errors_are_written_before_torch_is_imported(command: list[str], tmp_path: Path) -> None:
    for name in ("torch", "pytorch_lightning"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(77)\n")
    places = {"PYTHONPATH": str(tmp_path), "SEGFIELD_OUTPUTS": str(tmp_path / "outputs")}
    words = ["seed=-1", "data.num_workers=-1", "model.width=${data.widht}", "optimizer.lr=-1", "modle=unet"]
    done = subprocess.run(
        [sys.executable, *command, *words], env={**os.environ, **places}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 77, "torch is imported afterwards"
    assert [line.split()[1].partition("=")[0] for line in done.stderr.splitlines()[1:]] == [
        "Could",  # Hydra's own
        "model.width",
        "seed",
        "data.num_workers",
    ]


def test_errors_of_both_phases_stand_in_one_list(cli: Callable[..., Any]) -> None:
    words = ("seed=-1", "data.size=[4.5,4]", "optimizer.lr=-1", "+model.foo=1", "callbacks.trace._target_=os.system")
    outcome = cli("segfield", "check", *words, "data.length=10", "threads=1")
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    assert lines[0] == "This run cannot start:"
    assert all(line.startswith("- ") for line in lines[1:])
    starts = ["callbacks.trace._target_=os.system", "seed=-1", "data.size=[4.5, 4]", "model.foo", "optimizer: Invalid"]
    assert sorted(starts) == sorted(start for start in starts for line in lines if line.startswith(f"- {start}"))
    assert len(lines) == 1 + len(starts)
