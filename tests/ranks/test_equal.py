"""The same losses and scores on one process, two and three; and from one number of them to another."""

from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow
SGD = ("optimizer=sgd", "trainer.max_epochs=7")  # 21 steps


@pytest.fixture(scope="module")
def sgd(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folders = {devices: tmp_path_factory.mktemp("sgd") / f"run{devices}" for devices in (1, 2, 3)}
    for devices, folder in folders.items():
        ended = lab.train(folder, *SGD, *lab.on(devices), "+callbacks.order._target_=mischief.Order")
        assert ended.code == 0, ended.said
    return folders


def order(folder: Path) -> list[set[tuple[int, int]]]:
    """Who made each step, in the order of the steps: sets of (epoch, index)."""
    steps: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for path in sorted(folder.glob("order.*.txt")):
        for line in path.read_text().splitlines():
            epoch, batch, index = map(int, line.split())
            steps.setdefault((epoch, batch), set()).add((epoch, index))
    return [steps[key] for key in sorted(steps)]


@pytest.mark.parametrize("devices", [2, 3])
def test_losses_of_the_first_20_steps_are_those_of_one_process_to_a_millionth(
    lab: Any, sgd: dict[int, Path], devices: int
) -> None:
    one, several = lab.losses(sgd[1]), lab.losses(sgd[devices])
    assert len(one) == len(several) == 21
    assert several[:20] == pytest.approx(one[:20], rel=1e-6)


@pytest.mark.parametrize("devices", [2, 3])
def test_every_step_has_the_samples_that_it_has_on_one_process(sgd: dict[int, Path], devices: int) -> None:
    assert order(sgd[devices]) == order(sgd[1])
    assert all(len(samples) == 12 for samples in order(sgd[1]))


@pytest.mark.parametrize("devices", [2, 3])
def test_scores_from_counts_are_equal_and_losses_to_a_millionth_where_weights_are(
    lab: Any, sgd: dict[int, Path], devices: int
) -> None:
    one, several = lab.scores(sgd[1]), lab.scores(sgd[devices])
    assert "val/dice_group" in one
    for name, values in one.items():
        # Weights differ in the last bits, so a pixel on the threshold may fall on the other side of it.
        found = [float(value) for value in several[name]]
        assert found == pytest.approx([float(value) for value in values], rel=1e-6, abs=5e-4), name


def test_a_run_of_two_has_one_folder_one_config_one_tensorboard_file_and_a_log_of_the_other_rank(
    sgd: dict[int, Path],
) -> None:
    folder = sgd[2]
    assert len(list((folder / "tensorboard").glob("events.*"))) == 1
    assert sorted(path.name for path in (folder / "ranks").iterdir()) == ["1.log"]
    assert [path.name for path in folder.parent.iterdir()] == ["run2"]
    (entry,) = yaml.safe_load((folder / "environment.yaml").read_text())
    assert entry["placement"]["trainer.devices"] == 2
    assert len((folder / "trace.csv").read_text().splitlines()) == 22


def test_a_run_goes_on_with_other_numbers_of_processes(sgd: dict[int, Path], lab: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stop = ("+callbacks.mischief._target_=mischief.Mischief", "+callbacks.mischief.what='launcher SIGTERM'")
    steps = ("+callbacks.mischief.rank=0", "+callbacks.mischief.step=5")
    words = (*SGD, *lab.on(2), "+callbacks.order._target_=mischief.Order", *stop, *steps)
    assert lab.train(folder, *words).code == 143
    (folder / "mischief.done").unlink()
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("step: 5", "step: 11").replace("launcher SIGTERM", "SIGTERM"))
    assert lab.execute(folder, "trainer.devices=1", "trainer.strategy=auto").code == 143
    ended = lab.execute(folder, "trainer.devices=3")
    assert ended.code == 0, ended.said
    assert {path.name for path in folder.glob("order.*.txt")} == {
        *("order.2.0.txt", "order.2.1.txt"),
        "order.1.0.txt",
        *("order.3.0.txt", "order.3.1.txt", "order.3.2.txt"),
    }
    assert order(folder) == order(sgd[1])
    assert lab.losses(folder)[:20] == pytest.approx(lab.losses(sgd[1])[:20], rel=1e-6)
    assert len(lab.losses(folder)) == 21
