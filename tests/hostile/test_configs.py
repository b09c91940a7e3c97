"""A config.yaml or an override that others wrote runs no code: every attack here would leave a file behind."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.utils import UNSAFE_DISABLE_EXECUTION_CHECKS
from hydra.utils import instantiate as hydra_instantiate

from segfield.run.inside import paths_outside
from segfield.run.whitelist import refused

Cli = Callable[..., Any]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1", "model.width=4")
SHELL = {"command": "touch OUT"}
CODE = ["__import__('pathlib').Path('OUT').touch()"]
# Called at once, these do what they say.
WORKING: dict[str, dict[str, Any]] = {
    "a shell": {"_target_": "os.system", **SHELL},
    "eval": {"_target_": "builtins.eval", "_args_": CODE},
    "exec": {"_target_": "builtins.exec", "_args_": CODE},
    "open": {"_target_": "builtins.open", "file": "OUT", "mode": "w"},
    "a child process": {"_target_": "subprocess.check_output", "args": ["touch", "OUT"]},
    "an alias in Python": {"_target_": "posix.system", **SHELL},
    "an alias in segfield": {"_target_": "segfield.files.os.system", **SHELL},
    "an alias in torch": {"_target_": "torch.os.system", **SHELL},
    "an alias in Lightning": {"_target_": "pytorch_lightning.trainer.trainer.os.system", **SHELL},
    "a function of segfield": {"_target_": "segfield.files.write_text", "path": "OUT", "text": "x"},
    "a method of the standard library": {"_target_": "pathlib.Path.touch", "_args_": ["OUT"]},
    "deep in a list": {"_target_": "builtins.dict", "a": [{"b": [{"_target_": "os.system", **SHELL}]}]},
    "segfield's own instantiate": {
        "_target_": "segfield.run.build.instantiate",
        "_recursive_": False,
        "node": {"_target_": "os.system", **SHELL},
    },
}
# These need a helper, or show a way to one.
SUBTLE: dict[str, dict[str, Any]] = {
    "a partial": {"_target_": "os.system", "_partial_": True, **SHELL},
    "an argument of an allowed class": {
        "_target_": "torchmetrics.MetricCollection",
        "metrics": {"m": {"_target_": "builtins.eval", "_args_": CODE}},
    },
    "hydra's instantiate": {
        "_target_": "hydra.utils.instantiate",
        "_recursive_": False,
        "config": {"_target_": "builtins.open", "file": "OUT", "mode": "w"},
    },
    "a way to a function": {"_target_": "hydra.utils.get_method", "path": "os.system"},
    "a way to an object": {"_target_": "hydra.utils.get_object", "path": "os.system"},
    "an attribute of an allowed class": {"_target_": "segfield.models.unet.UNet.__init__.__globals__"},
    "a method of an allowed class": {"_target_": "pytorch_lightning.Trainer.fit"},
    "another callback": {"_target_": "pytorch_lightning.callbacks.LambdaCallback", "on_fit_start": "x"},
    "a loader of pickles": {"_target_": "torch.load", "f": "OUT", "weights_only": False},
    "a target that is a list": {"_target_": ["os.system"], **SHELL},
    "a target that is a mapping": {"_target_": {"_target_": "os.system", **SHELL}},
    "its own whitelist": {
        "_target_": "torch.nn.Sigmoid",
        "_execution_whitelist_": ["os.*", "builtins.*"],
        "x": {"_target_": "os.system", **SHELL},
    },
    "its own recursion": {"_target_": "torch.nn.Sigmoid", "_recursive_": False},
    "its own conversion": {"_target_": "torch.nn.Sigmoid", "_convert_": "object"},
    "positions instead of names": {"_target_": "torch.nn.Sigmoid", "_args_": [1]},
    "an upload": {"_target_": "pytorch_lightning.Trainer", "model_registry": "me/mine"},
}
INTERPOLATED: dict[str, dict[str, Any]] = {
    "a target from the environment": {"_target_": "${oc.env:EVIL}", **SHELL},
    "a target put together": {"_target_": "${evil.a}.${evil.b}", **SHELL},
    "a node by another's name": {"_target_": "torch.nn.Sigmoid", "x": "${evil}"},
    "text that is decoded": {"_target_": "torch.nn.Sigmoid", "x": "${oc.decode:'{_target_: os.system}'}"},
}


def aimed(node: dict[str, Any], outside: Path) -> dict[str, Any]:
    text = json.dumps(node).replace("OUT", str(outside))
    content: dict[str, Any] = json.loads(text)
    return content


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # open()
@pytest.mark.parametrize("name", WORKING)
def test_each_attack_works_where_nothing_refuses_it(name: str, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segfield.run.build.allowed", lambda: UNSAFE_DISABLE_EXECUTION_CHECKS)
    hydra_instantiate(aimed(WORKING[name], outside), _execution_whitelist_=UNSAFE_DISABLE_EXECUTION_CHECKS)
    assert outside.exists()


def test_the_projects_own_config_is_fine(config: dict[str, Any]) -> None:
    assert refused(config) == []
    assert paths_outside(config) == []


@pytest.mark.parametrize("name", [*WORKING, *SUBTLE])
def test_what_a_config_may_not_name_is_found_without_importing_it(name: str) -> None:
    node = {**WORKING, **SUBTLE}[name]
    for config in ({"loss": node}, {"callbacks": {"x": node}}, {"metrics": {"a": [1, [{"b": node}]]}}):
        assert refused(config)


@pytest.mark.parametrize("name", [*WORKING, *SUBTLE, *INTERPOLATED])
def test_a_frozen_config_runs_no_code(
    cli: Cli, folder: Path, config: dict[str, Any], outside: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVIL", "os.system")
    config["evil"] = {"a": "os", "b": "system"}
    config["callbacks"]["evil"] = aimed({**WORKING, **SUBTLE, **INTERPOLATED}[name], outside)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    outcome = cli("segfield", "execute", folder)
    assert outcome.code == 2, outcome.err
    assert "callbacks.evil" in outcome.err
    assert "Traceback" not in outcome.err
    assert not outside.exists()
    assert [path.name for path in folder.iterdir() if path.name != "status.json"] == ["config.yaml"]


@pytest.mark.parametrize("group", ["data", "model", "loss", "metrics", "optimizer", "augmentation", "task", "trainer"])
def test_no_group_may_be_something_else(
    cli: Cli, folder: Path, config: dict[str, Any], outside: Path, group: str
) -> None:
    config[group] = aimed(WORKING["open"], outside)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    outcome = cli("segfield", "execute", folder)
    assert outcome.code == 2, outcome.err
    assert not outside.exists()


@pytest.mark.parametrize(
    "overrides",
    [
        ("+callbacks.x._target_=os.system", "'+callbacks.x.command=touch OUT'"),
        ("loss._target_=builtins.open", "+loss.file=OUT", "+loss.mode=w"),
        ("metrics.metrics.dice._target_=segfield.files.write_text", "+metrics.metrics.dice.path=OUT"),
        ("'model={_target_: posix.system, command: touch OUT}'",),
        ("'+callbacks.x={_target_: \"${oc.env:EVIL}\", command: touch OUT}'",),
        ("+hydra.callbacks.x._target_=builtins.open", "+hydra.callbacks.x.file=OUT", "+hydra.callbacks.x.mode=w"),
        ("hydra.launcher._target_=builtins.open", "+hydra.launcher.file=OUT", "+hydra.launcher.mode=w", "-m", "seed=1"),
        ("trainer.model_registry=me/mine",),
    ],
)
def test_an_override_runs_no_code(
    cli: Cli, outputs: Path, outside: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVIL", "os.system")
    words = [word for override in overrides for word in shlex.split(override.replace("OUT", str(outside)))]
    assert cli("train.py", *TINY, *words).code != 0
    assert not outside.exists()
    assert not list(outputs.rglob("config.yaml"))


def test_kornias_lazy_loader_is_refused_before_anything_of_kornia_is_imported(
    cli: Cli, folder: Path, config: dict[str, Any], outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site/kornia/core").mkdir(parents=True)
    for file in ("__init__.py", "core/__init__.py", "core/external.py"):
        (tmp_path / "site/kornia" / file).write_text(f"open({str(outside)!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    target = "kornia.core.external.LazyLoader._install_extra"
    config["augmentation"] = {"_target_": target, "extra": "evil", "_partial_": True}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert cli("segfield", "execute", folder).code == 2
    outcome = cli("train.py", *TINY, f"augmentation._target_={target}", "+augmentation._partial_=true")
    assert outcome.code == 2
    assert f"augmentation._target_={target}" in outcome.err or f"Target '{target}' is not in" in outcome.err
    assert not outside.exists()
