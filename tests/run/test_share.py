from collections.abc import Callable
from pathlib import Path

import pytest

from segfield.run import share
from segfield.run.share import Shares, visible_gpus


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda names: monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)


@pytest.mark.parametrize(
    ("given", "names"),
    [("0,2", ["0", "2"]), ("", []), ("-1", []), ("1,-1,2", ["1"]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"])],
)
def test_the_visible_gpus_are_those_of_the_environment(
    gpus: Callable[[str], None], given: str, names: list[str]
) -> None:
    gpus(given)
    assert visible_gpus() == names


def test_without_the_environment_nvidia_smi_counts_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho '  MIG 1g'\necho 'GPU 1: A (UUID: y)'\n")
    program.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == ["0", "1"]
    share._counted.cache_clear()
    program.write_text("#!/bin/sh\nexit 9\n")
    assert visible_gpus() == []
    program.unlink()
    assert visible_gpus() == []


def test_each_slot_gets_its_own_gpus_as_many_as_its_job_has_devices(gpus: Callable[[str], None]) -> None:
    gpus("4,5,6,7")
    shares = Shares(2, [("auto", 1), ("gpu", 2)])
    assert list(shares.problems()) == []
    assert shares.environment(0, "auto", 1) == {"CUDA_VISIBLE_DEVICES": "4"}
    assert shares.environment(1, "auto", 1) == {"CUDA_VISIBLE_DEVICES": "6"}
    assert shares.environment(1, "gpu", "2") == {"CUDA_VISIBLE_DEVICES": "6,7"}
    assert shares.environment(1, "gpu", "auto") == {"CUDA_VISIBLE_DEVICES": "6,7"}
    assert shares.environment(1, "cpu", 2) == {}


def test_one_job_at_a_time_sees_every_gpu(gpus: Callable[[str], None]) -> None:
    gpus("0,1")
    shares = Shares(1, [("auto", 2)])
    assert list(shares.problems()) == []
    assert shares.environment(0, "auto", 2) == {}


def test_more_devices_than_gpus_are_told_with_the_number_of_jobs_that_fits(gpus: Callable[[str], None]) -> None:
    gpus("0,1,2,3")
    (text,) = Shares(4, [("auto", 1), ("auto", 2)]).problems()
    assert text.startswith("hydra.launcher.jobs=4 x trainer.devices=2 needs 8 GPUs, 4 are here: ")
    assert "use hydra.launcher.jobs=2, or trainer.accelerator=cpu" in text
    (text,) = Shares(2, [("auto", 5)]).problems()
    assert "use trainer.devices=4" in text
    assert list(Shares(4, [("cpu", 2)]).problems()) == []


def test_small_jobs_can_share_a_gpu_that_is_named_several_times(gpus: Callable[[str], None]) -> None:
    gpus("0")
    (text,) = Shares(2, [("auto", 1)]).problems()
    assert "needs 2 GPUs, 1 is here" in text
    assert "Small jobs can share a GPU: CUDA_VISIBLE_DEVICES=0,0." in text
    gpus("0,0")
    shares = Shares(2, [("auto", 1)])
    assert list(shares.problems()) == []
    assert shares.environment(1, "auto", 1) == {"CUDA_VISIBLE_DEVICES": "0"}


def test_cores_are_shared_out_unless_threads_are_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "cores", lambda: 8)
    assert Shares(3, []).words([]) == ["threads=2"]
    assert Shares(20, []).words([]) == ["threads=1"]
    assert Shares(3, []).words(["optimizer.lr=1", "threads=4"]) == []
    assert Shares(1, []).words([]) == []
