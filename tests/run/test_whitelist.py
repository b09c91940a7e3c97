import importlib
import inspect
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
