import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segfield.run.checkpoint_io import WholeCheckpointIO


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_there_is_a_good_last_checkpoint_at_every_moment_of_a_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    last, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    io = WholeCheckpointIO()
    moments: list[list[int]] = []
    for step in range(3):
        io.save_checkpoint({"step": step}, last)

    def look() -> None:
        moments.append([torch.load(path, weights_only=True)["step"] for path in (last, previous)])

    def looking(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            look()
            done = real(*arguments, **options)
            look()
            return done

        return call

    def no_links(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    for name in ("replace", "fsync", "rename"):
        monkeypatch.setattr(os, name, looking(name))
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    io.save_checkpoint({"step": 3}, last)
    assert [2, 1] in moments
    assert [2, 2] in moments
    assert moments[-1] == [3, 2]
    assert all(steps in ([2, 1], [2, 2], [3, 2]) for steps in moments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert (last.stat().st_nlink, previous.stat().st_nlink) == (1, 1)
