"""`segfield prepare carvana` with zips of drawn cars, and with a client that stands for Kaggle's."""

import shutil
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.commands.prepare import main
from segfield.data import competition
from segfield.data.demo import prepare_carvana

Cli = Callable[..., Any]
Fake = Callable[..., list[str]]
CARS, VIEWS, TEST = 2, 2, 2
PAGE = "https://www.kaggle.com/competitions/carvana-image-masking-challenge"


@pytest.fixture(scope="session")
def zips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The competition's zips of a small demo."""
    folder = tmp_path_factory.mktemp("competition")
    root, zips = folder / "demo", folder / "zips"
    prepare_carvana(root, cars=CARS, views=VIEWS, size=(48, 64), test_cars=1)
    zips.mkdir()
    for name in ("train", "train_masks", "test"):
        with zipfile.ZipFile(zips / f"{name}.zip", "w") as archive:
            for path in sorted((root / name).iterdir()):
                archive.write(path, f"{name}/{path.name}")
    for name in ("train_masks.csv", "metadata.csv", "sample_submission.csv"):
        with zipfile.ZipFile(zips / f"{name}.zip", "w") as archive:
            archive.write(root / name, name)
    return zips


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect the demo's numbers."""
    counts = competition.Counts(CARS, VIEWS, TEST)
    monkeypatch.setattr(competition, "Counts", lambda: counts)


@pytest.fixture
def kaggle(zips: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a client in Kaggle's place: kaggle(refusal) returns what it is asked for."""

    def put(login: BaseException | None = None, refusal: BaseException | None = None, bytes_: int = 1) -> list[str]:
        asked: list[str] = []

        class KaggleApi:
            def authenticate(self) -> None:
                print("Authentication required, and much more")  # noqa: T201, as the client does it
                if login:
                    raise login

            def competition_list_files(self, competition: str, page_size: int = 20) -> Any:
                files = [types.SimpleNamespace(name=path.name, total_bytes=bytes_) for path in zips.iterdir()]
                return types.SimpleNamespace(files=files)

            def competition_download_file(self, competition: str, file_name: str, path: str, quiet: bool) -> None:
                assert competition == "carvana-image-masking-challenge"
                if refusal:
                    raise refusal
                asked.append(file_name)
                shutil.copy(zips / file_name, path)

        module = types.ModuleType("kaggle.api.kaggle_api_extended")
        module.KaggleApi = KaggleApi  # type: ignore[attr-defined]
        for name in ("kaggle", "kaggle.api"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return asked

    return put


def status(code: int) -> Exception:
    from requests.exceptions import HTTPError
    from requests.models import Response

    response = Response()
    response.status_code = code
    return HTTPError(f"{code} Client Error", response=response)


def test_the_whole_competition_has_5088_photographs_and_100064_to_predict() -> None:
    whole = type(competition.Counts())()
    assert (whole.cars, whole.of("train"), whole.of("train_masks"), whole.of("test")) == (318, 5088, 5088, 100_064)


def there(folder: Path) -> dict[str, int]:
    return {path.name: len(list(path.iterdir())) for path in folder.iterdir() if path.is_dir() and path.name[0] != "."}


def test_zips_that_lie_there_are_unpacked_once_and_counted(
    tmp_path: Path, zips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["carvana", str(tmp_path / "c"), f"zips={zips}"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines() == [
        "train/: 4 photographs of 2 cars",
        "train_masks/: 4 masks of 2 cars",
        "test/: 2 photographs of 1 cars",
        "Train on it with:",
        f"  python train.py model=unet data=carvana data.root={tmp_path / 'c'}",
    ]
    assert (tmp_path / "c/metadata.csv").is_file()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "c").rglob("*.jpg")}
    assert main(["carvana", str(tmp_path / "c"), f"zips={zips}"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "c").rglob("*.jpg")}


def test_zips_in_the_folder_itself_are_found(tmp_path: Path, zips: Path) -> None:
    folder = Path(shutil.copytree(zips, tmp_path / "c"))
    assert main(["carvana", str(folder)]) == 0
    assert there(folder) == {"train": 4, "train_masks": 4, "test": 2}
    assert (folder / "train.zip").is_file()


def test_the_bundle_of_all_zips_serves_and_tables_may_be_unpacked_already(tmp_path: Path, zips: Path) -> None:
    (tmp_path / "z").mkdir()
    with zipfile.ZipFile(tmp_path / "z/carvana-image-masking-challenge.zip", "w") as bundle:
        for name in ("train.zip", "train_masks.zip"):
            bundle.write(zips / name, name)
    with zipfile.ZipFile(zips / "metadata.csv.zip") as archive:
        archive.extractall(tmp_path / "z")
    assert main(["carvana", str(tmp_path / "c"), f"zips={tmp_path / 'z'}"]) == 0
    assert there(tmp_path / "c") == {"train": 4, "train_masks": 4}
    assert (tmp_path / "c/metadata.csv").is_file()


def test_a_part_that_was_not_asked_for_is_not_missed(tmp_path: Path, zips: Path) -> None:
    assert main(["carvana", str(tmp_path / "c"), f"zips={zips}", "parts=test"]) == 0
    assert there(tmp_path / "c") == {"test": 2}


def test_what_lacks_is_counted_with_code_1(tmp_path: Path, zips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["carvana", str(tmp_path / "c"), f"zips={zips}"])
    first = min((tmp_path / "c/train").iterdir())
    first.unlink()
    assert main(["carvana", str(tmp_path / "c"), f"zips={zips}"]) == 1
    err = capsys.readouterr().err
    assert "- train/ has 3 files of the competition's names, expected 4." in err
    assert f"- train/: cars with other than 2 views: 1, first {first.name[:12]} with 1." in err


def test_zips_that_lack_are_named_with_where_to_get_them(
    tmp_path: Path, zips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "z").mkdir()
    shutil.copy(zips / "train.zip", tmp_path / "z")
    assert main(["carvana", str(tmp_path / "c"), f"zips={tmp_path / 'z'}"]) == 1
    assert f"z lacks train_masks.zip. Download them at {PAGE}/data" in capsys.readouterr().err
    assert main(["carvana", str(tmp_path / "c"), f"zips={tmp_path / 'nowhere'}"]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected: <folder>; got: nothing"),
        (["zips=x"], "expected: <folder>; got: zips=x"),
        (["c", "zip=x"], "unknown argument 'zip=x'"),
        (["c", "zips="], "unknown argument 'zips='"),
        (["c", "parts=train,validation"], "'validation' is none of train, test, hq"),
    ],
)
def test_a_wrong_call_is_answered_with_the_usage_and_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["carvana", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "usage: python -m segfield prepare carvana" in error
