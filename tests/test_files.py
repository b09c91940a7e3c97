import errno
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from segfield.files import Disk, append_lines, clear_temporaries, cut_rows, whole, write_text


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fails_inside(path: Path) -> None:
    with whole(path) as file:
        file.write(b"half of the n")
        raise ZeroDivisionError


def fails_as_torch_does_on_a_full_disk(path: Path) -> None:
    with whole(path) as file:
        file.write(b"half of the n")
        try:
            full_disk()
        finally:
            raise RuntimeError("unexpected pos 64 vs 0")


def test_whole_gives_the_file_its_new_content_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.txt"
    for text in ("first", "second"):
        with whole(path) as file:
            file.write(text.encode())
        assert path.read_text() == text
    assert names(path.parent) == ["a.txt"]


def test_whole_shows_the_old_content_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    ("write", "error"), [(fails_inside, ZeroDivisionError), (fails_as_torch_does_on_a_full_disk, OSError)]
)
def test_whole_leaves_the_old_content_and_no_temporary_after_an_error(
    tmp_path: Path, write: Callable[[Path], None], error: type[Exception]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error):
        write(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("place", ["fsync", "open"])
def test_a_full_disk_leaves_the_old_content_and_the_message_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = tmp_path / "status.json"
    path.write_text("old")
    monkeypatch.setattr(os if place == "fsync" else Path, place, full_disk)
    with pytest.raises(OSError, match=r"No space left on device: .*status\.json cannot be written\. Make room, then"):
        write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["status.json"]


def test_a_full_disk_behind_another_error_is_named_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device: .*last\.ckpt cannot be written") as caught:
        fails_as_torch_does_on_a_full_disk(tmp_path / "last.ckpt")
    assert caught.value.errno == errno.ENOSPC


def test_an_error_of_another_kind_is_passed_on_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no tensor"), whole(tmp_path / "a.txt"):
        raise RuntimeError("no tensor")
    with pytest.raises(FileExistsError), whole(__file__ + "/a.txt"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' device that is always full")
def test_appending_to_a_full_disk_names_the_file() -> None:
    with pytest.raises(OSError, match="No space left on device: /dev/full cannot be written"):
        append_lines("/dev/full", ["1,2"])


def test_a_process_killed_while_it_writes_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    child = os.fork()
    if child == 0:
        with whole(path) as file:
            file.write(b"x" * 100_000)
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2
    clear_temporaries(tmp_path)
    assert names(tmp_path) == ["a.txt"]


def test_clear_temporaries_takes_nothing_but_temporaries(tmp_path: Path) -> None:
    kept = {"a.tmp", ".hidden", ".tmp.txt", "last.ckpt"}
    for name in (*kept, ".last.ckpt.4711.tmp"):
        (tmp_path / name).touch()
    clear_temporaries(tmp_path)
    assert set(names(tmp_path)) == kept


def test_clear_temporaries_of_a_folder_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    clear_temporaries(tmp_path / "checkpoints")
    assert names(tmp_path) == []


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Müller")
    assert (tmp_path / "a.txt").read_bytes() == "Müller".encode()


def test_appended_lines_follow_the_complete_ones(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    append_lines(path, ["epoch,step", "0,0"])
    append_lines(path, [])
    append_lines(path, ["0,1"])
    assert path.read_text() == "epoch,step\n0,0\n0,1\n"


def test_appending_ends_a_line_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("epoch,step,loss\n0,0,0.5\n0,1,0.4")
    append_lines(path, ["0,2,0.3"])
    assert path.read_text() == "epoch,step,loss\n0,0,0.5\n0,1,0.4\n0,2,0.3\n"


NAMES = ("epoch", "step", "loss")


def test_cutting_keeps_the_header_and_the_rows_below_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("epoch,step,loss\n0,9,0.5\n1,10,0.4\n1,11,0.3\n")
    assert cut_rows(path, NAMES, 10) == [9]
    assert path.read_text() == "epoch,step,loss\n0,9,0.5\n"


@pytest.mark.parametrize("broken", ["0,", "0,1", "0,1,0.4,5", "0,x,0.4", "0,,0.4", "0,-1,0.4", "", "0,1,0.\0", "0,2,1"])
def test_cutting_drops_broken_rows_and_second_ones(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(f"epoch,step,loss\n0,0,0.5\n0,2,0.3\n{broken}\n0,3,nan\n")
    assert cut_rows(path, NAMES, 100) == [0, 2, 3]
    assert path.read_text() == "epoch,step,loss\n0,0,0.5\n0,2,0.3\n0,3,nan\n"


def test_cutting_keeps_rows_of_one_step_that_other_columns_tell_apart(tmp_path: Path) -> None:
    path = tmp_path / "rollout.csv"
    path.write_text("epoch,step,loss\n0,2,6\n0,2,12\n0,2,12\n1,5,6\n")
    assert cut_rows(path, NAMES, 5, apart=("step", "loss")) == [2, 2]
    assert path.read_text() == "epoch,step,loss\n0,2,6\n0,2,12\n"


def test_cutting_keeps_rows_with_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,loss\n0,0,\n")
    assert cut_rows(path, NAMES, 100) == [0]


def test_cutting_makes_a_missing_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert cut_rows(tmp_path / "trace.csv", NAMES, 5) == []
    assert (tmp_path / "trace.csv").read_text() == "epoch,step,loss\n"
    assert caplog.messages == []


@pytest.mark.parametrize("content", [b"epoch,loss\n3,0.5\n", b"\xff\x00\n0,0,0.5\n", b"\n0,0,0.5\n", b"0,0,0.5\n"])
def test_a_file_with_another_header_is_put_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = tmp_path / "trace.csv"
    path.write_bytes(content)
    assert cut_rows(path, NAMES, 5) == []
    assert path.read_text() == "epoch,step,loss\n"
    assert (tmp_path / "trace.csv.damaged").read_bytes() == content
    assert re.search(
        r"trace\.csv begins with .* instead of epoch,step,loss: it is kept as trace\.csv\.damaged", caplog.text
    )


def test_a_disk_for_hdf5_takes_all_writes_and_raises_the_first_error_when_asked(tmp_path: Path) -> None:
    with (tmp_path / "whole").open("w+b") as file:
        disk = Disk(file)
        assert (disk.write(memoryview(b"abcdef")), disk.tell(), disk.seek(-2, os.SEEK_END)) == (6, 6, 4)
        into = bytearray(4)
        assert (disk.readinto(memoryview(into)), into, disk.truncate(3)) == (2, b"ef\0\0", 3)
        disk.check()
    assert (tmp_path / "whole").read_bytes() == b"abc"
    with Path("/dev/full").open("r+b", buffering=0) as file:
        disk = Disk(file)
        assert (disk.write(memoryview(b"abc")), disk.write(memoryview(b"def")), disk.tell()) == (3, 3, 6)
        with pytest.raises(OSError, match="No space left on device"):
            disk.check()
