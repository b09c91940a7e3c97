"""`segfield prepare carvana` without zips: a client that stands for Kaggle's, and the official one."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.commands.prepare import main
from segfield.data import competition

Cli = Callable[..., Any]
Fake = Callable[..., list[str]]
PAGE = "https://www.kaggle.com/competitions/carvana-image-masking-challenge"
pytestmark = pytest.mark.usefixtures("small")


def there(folder: Path) -> dict[str, int]:
    return {path.name: len(list(path.iterdir())) for path in folder.iterdir() if path.is_dir() and path.name[0] != "."}


def status(code: int) -> Exception:
    from requests.exceptions import HTTPError
    from requests.models import Response

    response = Response()
    response.status_code = code
    return HTTPError(f"{code} Client Error", response=response)


def test_without_zips_they_are_downloaded_and_deleted_when_unpacked(tmp_path: Path, kaggle: Fake) -> None:
    asked = kaggle()
    assert main(["carvana", str(tmp_path / "c")]) == 0
    assert sorted(asked) == sorted([*competition.PARTS["train"], *competition.PARTS["test"]])
    assert there(tmp_path / "c") == {"train": 4, "train_masks": 4, "test": 2}
    assert main(["carvana", str(tmp_path / "c")]) == 0
    assert len(asked) == 6


def test_a_download_goes_on_where_it_was_interrupted(tmp_path: Path, zips: Path, kaggle: Fake) -> None:
    asked = kaggle()
    (tmp_path / "c/zips").mkdir(parents=True)
    shutil.copy(zips / "train.zip", tmp_path / "c/zips")
    (tmp_path / "c/zips/train_masks.zip").write_bytes((zips / "train_masks.zip").read_bytes()[:200])
    (tmp_path / "c/zips/train_masks.zip.kaggle-partial").touch()
    assert main(["carvana", str(tmp_path / "c"), "parts=train"]) == 0
    assert sorted(asked) == ["metadata.csv.zip", "train_masks.csv.zip", "train_masks.zip"]


def test_files_that_another_hand_unpacked_are_not_downloaded(tmp_path: Path, zips: Path, kaggle: Fake) -> None:
    main(["carvana", str(tmp_path / "c"), f"zips={zips}"])
    shutil.rmtree(tmp_path / "c/.segfield-unpacked")
    asked = kaggle()
    assert main(["carvana", str(tmp_path / "c")]) == 0
    assert asked == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (401, "Log in at https://www.kaggle.com/settings/api"),
        (403, f"Open {PAGE}/rules in the browser, log in as the owner of the token, press 'I Understand and Accept'"),
        (404, "Kaggle has no such file any more (404)"),
        (429, "Kaggle asks to wait (429)"),
        (503, "Kaggle cannot be reached: 503 Client Error. Give the same command again"),
    ],
)
def test_a_refusal_is_explained_with_what_to_do(
    tmp_path: Path, kaggle: Fake, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle(refusal=status(code))
    assert main(["carvana", str(tmp_path / "c")]) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert f"download train_masks.csv.zip and the others by hand at {PAGE}/data, and add zips=<folder" in shown.err
    assert "much more" not in shown.out


@pytest.mark.parametrize("login", [SystemExit(1), OSError("Could not find kaggle.json. Make sure it's located in")])
def test_without_credentials_the_way_to_them_is_told(
    tmp_path: Path, kaggle: Fake, login: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle(login=login)
    assert main(["carvana", str(tmp_path / "c")]) == 1
    assert "press 'Generate New Token', save the token as ~/.kaggle/access_token or export" in capsys.readouterr().err


def test_the_official_client_without_credentials_is_understood(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("kagglesdk")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home/config"))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    outcome = cli("segfield", "prepare", "carvana", tmp_path / "c")
    assert (outcome.code, outcome.out) == (1, "")
    assert "Kaggle found no credentials of yours" in outcome.err


def test_without_the_client_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("kaggle", "kaggle.api", "kaggle.api.kaggle_api_extended"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["carvana", str(tmp_path / "c")]) == 1
    assert "Kaggle's client is not installed. Type: pip install -e '.[kaggle]'. Or download" in capsys.readouterr().err


def test_a_download_that_does_not_fit_the_disk_is_not_begun(
    tmp_path: Path, kaggle: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = kaggle(bytes_=10**15)
    assert main(["carvana", str(tmp_path / "c")]) == 1
    assert "downloading train_masks.csv.zip and unpacking it needs 2000000.3 GB" in capsys.readouterr().err
    assert asked == []
