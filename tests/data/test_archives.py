import os
import signal
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from segfield.data.archives import is_unpacked, unpack


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and ".segfield" not in str(path))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("prefix", ["train/", ""])
def test_files_land_in_their_folder_whether_the_names_say_so_or_not(tmp_path: Path, prefix: str) -> None:
    archive = zipped(tmp_path / "train.zip", {f"{prefix}a.jpg": b"a", f"{prefix}b.jpg": b"b"})
    assert unpack(archive, tmp_path / "out", "train") == 2
    assert contents(tmp_path / "out") == {"train/a.jpg": b"a", "train/b.jpg": b"b"}


def test_systems_own_files_are_left_out(tmp_path: Path) -> None:
    junk = {"__MACOSX/train/._a.jpg": b"x", "train/.DS_Store": b"x", "train/Thumbs.db": b"x", "train/": b""}
    unpack(zipped(tmp_path / "train.zip", {**junk, "train/a.jpg": b"a"}), tmp_path / "out", "train")
    assert contents(tmp_path / "out") == {"train/a.jpg": b"a"}


def test_an_archive_is_unpacked_once_and_again_where_it_changed(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "t.zip", {"a": b"a"})
    out = tmp_path / "out"
    assert not is_unpacked("t.zip", out, archive)
    unpack(archive, out)
    assert is_unpacked("t.zip", out, archive)
    zipped(archive, {"a": b"a", "b": b"b"})
    assert not is_unpacked("t.zip", out, archive)
    assert unpack(archive, out) == 1
    archive.unlink()
    assert is_unpacked("t.zip", out)


@pytest.mark.parametrize(
    "name", ["../evil", "train/../../evil", "/evil", "..\\evil", "C:\\evil", "train/x\\..\\..\\evil"]
)
def test_a_name_that_leads_out_is_refused_and_nothing_written(tmp_path: Path, name: str) -> None:
    archive = zipped(tmp_path / "t.zip", {"train/a.jpg": b"a", name: b"evil"})
    with pytest.raises(
        ValueError, match=r"t\.zip holds the name .*evil', which leads out of the folder\. Nothing was unp"
    ):
        unpack(archive, tmp_path / "out", "train")
    assert [path.name for path in tmp_path.iterdir()] == ["t.zip"]


def test_one_place_for_two_files_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "t.zip", {"train/a.jpg": b"1", "train\\a.jpg": b"2"})
    with pytest.raises(ValueError, match=r"holds train/a\.jpg twice"):
        unpack(archive, tmp_path / "out", "train")


def test_a_damaged_member_is_named_and_what_came_before_stays(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "t.zip", {"a": b"a" * 100, "z": b"b" * 100})
    archive.write_bytes(archive.read_bytes().replace(b"b" * 50, b"c" * 50))
    with pytest.raises(ValueError, match=r"t\.zip is damaged at z: Bad CRC-32.*Download it again; what is unpacked"):
        unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {"a": b"a" * 100}
    assert not is_unpacked("t.zip", tmp_path / "out", archive)


def test_a_zip_that_was_cut_short_is_named(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "t.zip", {"a": b"a" * 1000})
    archive.write_bytes(archive.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"t\.zip is damaged or cut short: .*Download it again"):
        unpack(archive, tmp_path / "out")


def test_a_login_page_with_the_name_of_a_zip_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "t.zip").write_bytes(b"<!DOCTYPE html><html>log in")
    with pytest.raises(ValueError, match=r"t\.zip is a web page, the one to log in"):
        unpack(tmp_path / "t.zip", tmp_path / "out")
    (tmp_path / "t.zip").write_bytes(b"what?")
    with pytest.raises(ValueError, match=r"is no zip archive, it begins with b'what\?'"):
        unpack(tmp_path / "t.zip", tmp_path / "out")


def test_too_little_room_is_told_with_both_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "t.zip", {"a": b"a" * 1000})
    usage = type("Usage", (), {"free": 10**8})
    monkeypatch.setattr("segfield.data.archives.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match=r"out has 0\.1 GB free, unpacking t\.zip needs 0\.3 GB\. Make room"):
        unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_a_killed_unpacking_is_completed_by_the_same_call(tmp_path: Path) -> None:
    files = {f"train/{number:03d}.jpg": bytes([number % 256]) * 2000 for number in range(300)}
    archive, out = zipped(tmp_path / "train.zip", files), tmp_path / "out"
    child = os.fork()
    if child == 0:
        unpack(archive, out, "train", lambda done, of: time.sleep(0.01))
        os._exit(0)
    while not len(list((out / "train").glob("*.jpg"))) > 5:
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (out / "train/.299.jpg.1.tmp").touch()  # as a kill within a file leaves one
    written = unpack(archive, out, "train")
    assert 0 < written < 300
    assert contents(out) == files
