"""Several nodes: torchrun on each of them; here two agents on the loopback interface."""

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
Undisturbed = Callable[[int], Path]
NODES = ("trainer=ddp", "trainer.devices=1", "trainer.num_nodes=2", "threads=1")


def torchrun(lab: Any, folder: Path, port: int, *options: str, words: tuple[str, ...] = ()) -> Any:
    rendezvous = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", "--rdzv-id", folder.name)
    module = ("-m", "segfield", "execute", folder, *words)
    # Without this torch 2.15 meets the keys of the ranks before the restart (docs/clusters.md).
    return lab.run(
        "-m", "torch.distributed.run", *options, *rendezvous, *module, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1"
    )


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def test_two_agents_train_one_folder_as_two_ranks_of_one_node_do(
    lab: Any, tmp_path: Path, undisturbed: Undisturbed, port: int
) -> None:
    folder = tmp_path / "run"
    told = lab.train(folder, *NODES, *lab.mischief("nothing"))
    assert told.code == 2
    assert "torchrun --nnodes 2 --nproc-per-node 1" in told.said
    assert f"-m segfield execute {folder}" in told.said
    with ThreadPoolExecutor() as nodes:
        agents = [nodes.submit(torchrun, lab, folder, port, "--nnodes=2", "--nproc-per-node=1") for _ in range(2)]
        ended = [agent.result() for agent in agents]
    assert [one.code for one in ended] == [0, 0], ended
    assert lab.outcome(folder) == lab.outcome(undisturbed(2))
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    assert sorted(path.name for path in (folder / "ranks").iterdir()) == ["1.log"]


def test_torchrun_of_a_user_restarts_a_killed_rank_and_a_finished_run_says_so(
    lab: Any, tmp_path: Path, undisturbed: Undisturbed, port: int
) -> None:
    folder = tmp_path / "run"
    lab.train(folder, *NODES, *lab.mischief("SIGKILL"))
    here = ("--nnodes=1", "--nproc-per-node=2", "--max-restarts=2")
    placement = ("trainer.devices=2", "trainer.num_nodes=1", "threads=2")
    ended = torchrun(lab, folder, port, *here, words=placement)
    assert ended.code == 0, ended.said
    assert lab.outcome(folder) == lab.outcome(undisturbed(2))
    again = torchrun(lab, folder, port, *here, words=placement)
    assert again.code == 0
    assert "is finished already" in again.said
    assert "is finished already" in lab.execute(folder, *placement).said


def test_torchrun_with_another_number_of_ranks_is_told_what_to_type(lab: Any, tmp_path: Path, port: int) -> None:
    folder = tmp_path / "run"
    lab.train(folder, *NODES)
    ended = torchrun(lab, folder, port, "--nnodes=1", "--nproc-per-node=2")
    assert ended.code == 1
    assert "torchrun started 2 ranks, 2 on this node; trainer.devices=1 trainer.num_nodes=2 want 2" in ended.said
    assert "trainer.devices=2 trainer.num_nodes=1" in ended.said


def test_a_config_that_cannot_run_is_told_by_rank_0_of_a_torchrun(lab: Any, tmp_path: Path, port: int) -> None:
    folder = tmp_path / "run"
    lab.train(folder, *NODES)
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("batch_size: 12", "batch_size: 13"))
    words = ("trainer.devices=2", "trainer.num_nodes=1")
    ended = torchrun(lab, folder, port, "--nnodes=1", "--nproc-per-node=2", words=words)
    assert ended.code == 1
    assert "must be a positive multiple of devices x accumulation = 2 x 1" in ended.said
