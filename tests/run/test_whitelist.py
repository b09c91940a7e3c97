import datetime
import importlib
import inspect
import subprocess
import sys
from typing import Any

import pytest

from segfield.run import whitelist
from segfield.run.build import instantiate


@pytest.mark.parametrize("name", whitelist.LISTED)
def test_every_listed_name_is_a_class_that_exists(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert inspect.isclass(getattr(importlib.import_module(module), attribute))


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "os.system", "command": "true"},
        {"_target_": "segfield.files.write_text", "path": "x", "text": "y"},
        {"_target_": "torch.hub.load", "_partial_": True},
        {"_target_": "pytorch_lightning.callbacks.LambdaCallback"},
        {"_target_": "torch.nn.Sigmoid", "child": {"_target_": "subprocess.run"}},
    ],
)
def test_what_is_not_listed_is_refused_also_inside_and_as_a_partial(node: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="whitelist"):
        instantiate(node)


def test_a_config_cannot_widen_the_whitelist() -> None:
    with pytest.raises(ValueError, match="whitelist"):
        instantiate({"_target_": "os.getcwd", "child": {"_target_": "os.getcwd", "_execution_whitelist_": ["os.*"]}})


def test_a_class_of_the_users_own_is_allowed_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"SEGFIELD_ALLOW=pkg\.Class"):
        instantiate({"_target_": "collections.Counter"})
    monkeypatch.setenv("SEGFIELD_ALLOW", "collections.Counter, torch.nn.Mish")
    assert instantiate({"_target_": "collections.Counter"}) == {}


def test_the_environment_cannot_allow_a_whole_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGFIELD_ALLOW", "torch.*")
    with pytest.raises(ValueError, match=r"takes exact names.*found 'torch\.\*'"):
        whitelist.allowed()


def test_a_misspelt_class_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"did you mean segfield\.models\.unet\.UNet\?"):
        instantiate({"_target_": "segfield.models.unet.UNnet"})


def test_a_class_of_the_users_own_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGFIELD_ALLOW", "nowhere.Mine")
    with pytest.raises(ValueError, match=r"SEGFIELD_ALLOW names nowhere\.Mine, but: .*PYTHONPATH"):
        whitelist.allowed()


def test_a_config_of_allowed_classes_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "model": {"_target_": "segfield.models.unet.UNet", "width": 4},
        "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1},
        "data": {"values": {0: 0, 255: 1}, "size": [32, 32], "fold": None, "mean": 0.5},
        "callbacks": {"mine": {"_target_": "collections.Counter"}},
    }
    monkeypatch.setenv("SEGFIELD_ALLOW", "collections.Counter")
    assert whitelist.refused(config) == []


def test_what_is_refused_is_named_by_its_place_with_what_to_do() -> None:
    (error,) = whitelist.refused({"metrics": {"metrics": {"a": [{"_target_": "segfield.metrics.Dyce"}]}}})
    assert error.startswith("metrics.metrics.a.0._target_=segfield.metrics.Dyce is not allowed: ")
    assert "did you mean segfield.metrics.Dice?" in error
    assert "SEGFIELD_ALLOW=pkg.Class" in error


@pytest.mark.parametrize(
    "key", ["_execution_whitelist_", "_recursive_", "_convert_", "_args_", "_isolate_", "__class__"]
)
def test_keys_that_change_how_a_config_is_read_are_refused(key: str) -> None:
    (error,) = whitelist.refused({"loss": {"_target_": "torch.nn.MSELoss", key: "x"}})
    assert error == f"loss.{key} is no key of a config: it would change how the config is read. Remove it."


def test_an_upload_is_refused() -> None:
    trainer = {"_target_": "pytorch_lightning.Trainer", "model_registry": "me/mine"}
    (error,) = whitelist.refused({"trainer": trainer})
    assert error == "trainer.model_registry=me/mine would upload the checkpoints: no run does. Remove it."
    assert whitelist.refused({"trainer": {**trainer, "model_registry": None}}) == []


@pytest.mark.parametrize("value", [b"../x", datetime.date(2020, 1, 1), {1, 2}, ("a", "b")])
def test_values_that_only_yaml_tags_make_are_refused(value: object) -> None:
    (error,) = whitelist.refused({"a": {"b": [value]}})
    assert error == f"a.b.0 holds {type(value).__name__}, expected a number, a word, a list or a mapping. " + (
        "Write it as plain YAML."
    )


def test_a_key_that_is_no_word_is_refused() -> None:
    (error,) = whitelist.refused({"a": {(1, 2): 3}})
    assert error == "a: (1, 2) is no name of an argument. Write a word."


def test_refusing_imports_nothing() -> None:
    code = "import sys; from segfield.run.whitelist import refused; refused({'a': {'_target_': 'torch.hub.load'}})\n"
    code += "sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_endless_config_is_refused() -> None:
    ring: dict[str, Any] = {}
    ring["a"] = ring
    (error,) = whitelist.refused(ring)
    assert "nested deeper than 32 levels" in error


def test_a_callback_whose_package_is_no_dependency_of_ours_is_not_listed() -> None:
    assert len(whitelist.refused({"_target_": "pytorch_lightning.callbacks.DeviceStatsMonitor"})) == 1  # psutil
