import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from segfield.data import rle
from segfield.data.rle import decode, encode, read_masks_csv


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 9), (16, 16)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_decode_gives_back_what_encode_wrote_for_any_mask(shape: tuple[int, int], share: float) -> None:
    rng = np.random.default_rng([*shape, int(share * 10)])
    for _ in range(20):
        mask = (rng.random(shape) < share).astype(np.uint8)
        drawn = decode(encode(mask), shape)
        assert drawn.dtype == np.uint8
        assert np.array_equal(drawn, mask)


def slowly(mask: np.ndarray) -> str:
    """Encode pixel by pixel, as the challenge describes it."""
    numbers: list[int] = []
    before = False
    for place, value in enumerate(mask.ravel().tolist(), start=1):
        if value and not before:
            numbers += [place, 0]
        if value:
            numbers[-1] += 1
        before = bool(value)
    return " ".join(map(str, numbers))


@pytest.mark.parametrize("seed", range(10))
def test_encode_writes_what_a_slow_reference_writes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for pixels in range(70):  # every place within the words that encode() looks at, and every place of the last pixel
        length = int(rng.integers(1, 12))
        mask = np.repeat(rng.integers(0, 2, pixels // length + 1), length)[:pixels].reshape(1, pixels)
        assert encode(mask) == slowly(mask)
    for _ in range(20):
        shape = rng.integers(1, 40, 2)
        mask = (rng.random(shape) < rng.random()) * rng.integers(1, 256, shape)  # any value but 0 is foreground
        assert encode(mask.astype(np.uint8)) == slowly(mask)
        assert np.array_equal(decode(slowly(mask), shape.tolist()), mask > 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (1, 8), (1, 9), (3, 5), (8, 8), (13, 31)])
def test_all_empty_all_full_and_every_single_pixel_are_as_the_slow_reference_has_them(shape: tuple[int, int]) -> None:
    assert encode(np.zeros(shape)) == slowly(np.zeros(shape)) == ""
    assert encode(np.ones(shape)) == slowly(np.ones(shape)) == f"1 {shape[0] * shape[1]}"
    for pixel in range(shape[0] * shape[1]):
        mask = np.zeros(shape)
        mask.ravel()[pixel] = 1
        assert encode(mask) == slowly(mask) == f"{pixel + 1} 1"
        assert encode(1 - mask) == slowly(1 - mask)


def test_a_mask_whose_rows_are_no_neighbours_in_memory_is_encoded_row_by_row() -> None:
    mask = np.random.default_rng(0).integers(0, 2, (9, 14))
    assert encode(mask.T) == slowly(np.ascontiguousarray(mask.T))
    assert encode(mask[::2, ::-1]) == slowly(mask[::2, ::-1].copy())


def test_runs_count_from_one_and_go_along_rows() -> None:
    mask = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1]])
    assert encode(mask) == "2 3 9 1"
    assert decode("2 3 9 1", (3, 3)).tolist() == mask.tolist()


def test_the_first_and_the_last_pixel_are_kept() -> None:
    mask = np.zeros((4, 5), dtype=np.uint8)
    mask[0, 0] = mask[-1, -1] = 1
    assert encode(mask) == "1 1 20 1"
    assert np.array_equal(decode("1 1 20 1", (4, 5)), mask)


def test_an_empty_mask_is_an_empty_string_and_a_full_one_is_one_run() -> None:
    assert encode(np.zeros((3, 4))) == ""
    assert decode("", (3, 4)).sum() == 0
    assert decode(" ", (3, 4)).shape == (3, 4)
    assert encode(np.ones((3, 4))) == "1 12"


def test_masks_of_0_and_255_encode_like_0_and_1() -> None:
    mask = np.random.default_rng(0).integers(0, 2, (6, 6))
    assert encode(mask * 255) == encode(mask) == encode(mask.astype(bool))


def test_runs_that_touch_are_drawn() -> None:
    assert decode("1 2 3 2", (1, 5)).tolist() == [[1, 1, 1, 1, 0]]


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ("1 2 3", "3 numbers, an odd count"),
        ("1 x", "whole numbers only; found '1 x'"),
        ("1.5 2", "whole numbers only"),
        ("1 99999999999999999999", "whole numbers only"),
        ("0 2", "counts from 1.*start 0"),
        ("3 0", "at least 1 long.*length 0"),
        ("-3 2", "counts from 1"),
        ("1 3 3 2", "overlap: '1 3' is followed by '3 2'"),
        ("5 2 1 2", "not ascending: '5 2' is followed by '1 2'"),
        ("12 2", r"ends at pixel 13, beyond the 12 pixels of 3x4 \(HxW\)"),
        ("9223372036854775807 9223372036854775807", "beyond the 12 pixels"),
        ("1 13", "ends at pixel 13, beyond"),
    ],
)
def test_malformed_runs_are_refused(rle: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(rle, (3, 4))


def test_a_photograph_sized_mask_decodes_in_milliseconds() -> None:
    rows = np.arange(1280) * 1918
    rle = " ".join(f"{start + 500} 900" for start in rows)
    start = time.perf_counter()
    mask = decode(rle, (1280, 1918))
    assert time.perf_counter() - start < 0.5
    assert mask.sum() == 1280 * 900


def test_the_csv_gives_run_lengths_by_file_name(tmp_path: Path) -> None:
    path = tmp_path / "train_masks.csv"
    path.write_text('img,rle_mask\na_01.jpg,1 2 5 1\n"a_02.jpg","3 1"\na_03.jpg,\n\n')
    assert read_masks_csv(path) == {"a_01.jpg": "1 2 5 1", "a_02.jpg": "3 1", "a_03.jpg": ""}


def test_the_csv_may_begin_with_a_byte_order_mark_and_end_lines_with_crlf(tmp_path: Path) -> None:
    path = tmp_path / "train_masks.csv"
    path.write_bytes(b"\xef\xbb\xbfimg,rle_mask\r\na_01.jpg,1 2\r\n")
    assert read_masks_csv(path) == {"a_01.jpg": "1 2"}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"id,year,make\n1,2,3\n", "found 'id,year,make'"),
        (b"", "found ''"),
        (b"<!DOCTYPE html>\n", "<!DOCTYPE html>"),
        (b"PK\x03\x04\xff\xfe" + b"x" * 500, r"x\.\.\.'"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ],
)
def test_something_else_that_is_called_train_masks_csv_is_refused(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "train_masks.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"bears the name .* 'img,rle_mask'.*{found}"):
        read_masks_csv(path)


@pytest.mark.parametrize(
    ("row", "found"), [("a_02.jpg 1 2", "found 'a_02.jpg 1 2'"), (",1 2", "found ',1 2'"), ("a_01.jpg,1 1", "again")]
)
def test_a_broken_or_repeated_row_is_refused_with_its_line(tmp_path: Path, row: str, found: str) -> None:
    path = tmp_path / "train_masks.csv"
    path.write_text(f"img,rle_mask\na_01.jpg,1 2\n{row}\n")
    with pytest.raises(ValueError, match=f"line 3: expected .*{found}"):
        read_masks_csv(path)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd.jpg", "/etc/x.jpg", "..\\x.jpg", "a\0.jpg", "..", ".", "train/x.jpg", "C:x.jpg", '"../x.jpg"'],
)
def test_a_row_that_names_a_file_elsewhere_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "train_masks.csv").write_text(f"img,rle_mask\na.jpg,1 1\n{name},1 1\n")
    with pytest.raises(ValueError, match=r"train_masks\.csv, line 3: .* is no plain file name; .*remove the row\."):
        rle.read_masks_csv(tmp_path / "train_masks.csv")


def test_a_row_longer_than_any_mask_is_refused_without_being_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rle, "_LONGEST", 1000)
    (tmp_path / "train_masks.csv").write_text("img,rle_mask\na.jpg," + "1 1 " * 10_000)
    with pytest.raises(ValueError, match=r"train_masks\.csv, line 2: a row has more than 1000 characters, no mask has"):
        rle.read_masks_csv(tmp_path / "train_masks.csv")


def test_the_worst_mask_of_a_photograph_is_not_too_long() -> None:
    chessboard = np.indices((40, 50)).sum(axis=0) % 2
    assert len(rle.encode(chessboard)) / chessboard.size * 1918 * 1280 * 2 < rle._LONGEST


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 1000000000000000000", "beyond the 64 pixels"),
        ("1000000000000000000 1", "beyond the 64 pixels"),
        ("9223372036854775807 9223372036854775807", "beyond the 64 pixels"),
        ("1e18 1", "whole numbers only"),
        ("99999999999999999999999 1", "whole numbers only"),
        ("9" * 1_000_000 + " 1", "whole numbers only"),
        ("1 2\0", "whole numbers only"),
        ("-5 3", "counts from 1"),
        ("1 -3", "counts from 1"),
        ("1 5 3 5", "overlap"),
        ("1 2 " * 1_000_000, "overlap"),
    ],
)
def test_run_lengths_that_are_made_to_break_cost_no_memory(text: str, message: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            rle.decode(text, (8, 8))
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
