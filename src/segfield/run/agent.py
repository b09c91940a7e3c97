"""Torch elastic's agent for the ranks of one node, which it starts once: ranks.py decides whether it does so again."""

import signal
import sys
import uuid
from collections.abc import Sequence
from typing import Any, final

from torch.distributed.elastic.agent.server.api import WorkerSpec
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import LogsSpecs, SignalException
from torch.distributed.elastic.rendezvous import RendezvousParameters
from torch.distributed.elastic.rendezvous.registry import get_rendezvous_handler

_TO_DIE = 10  # [s] after SIGKILL; a process that hangs in the kernel is left alone then


@final
class Agent(LocalElasticAgent):
    """Starts ranks and waits for them.

    A signal is passed on and the ranks may take their time to save, but not for ever; a second one kills them.
    elastic_launch, which torchrun uses, would wait again.

    Args:
        command: of a rank, after the interpreter.
        processes: number of ranks.
        port: where the ranks meet; None: any free one.
        patience: [s] after a signal.
        logs: where torch elastic keeps its own files.

    Raises:
        RendezvousConnectionError: if the port is taken.
    """

    def __init__(
        self, command: Sequence[str], processes: int, port: int | None, patience: float, logs: LogsSpecs
    ) -> None:
        meeting = RendezvousParameters(
            backend="c10d",
            endpoint=f"localhost:{port or 0}",
            run_id=uuid.uuid4().hex,
            min_nodes=1,
            max_nodes=1,
            local_addr="localhost",
            is_host="true",
        )
        spec = WorkerSpec(
            role="rank",
            local_world_size=processes,
            rdzv_handler=get_rendezvous_handler(meeting),
            entrypoint=sys.executable,
            args=tuple(command),
            max_restarts=0,
            monitor_interval=0.1,
            local_addr="localhost",
        )
        super().__init__(spec, logs_specs=logs)
        self._patience = patience

    def ends(self) -> dict[int, Any]:
        """Run all ranks to their end; return how those ended that did not end well, by rank.

        Raises:
            SignalException: after SIGINT or SIGTERM, when all ranks have ended.
        """
        handler = self.get_worker_group().spec.rdzv_handler
        try:
            result = self.run()
        finally:
            handler.shutdown()
        return dict(result.failures) if result.is_failed() else {}

    def _shutdown(self, death_sig: signal.Signals = signal.SIGTERM, *_: Any, **__: Any) -> None:
        if self._pcontext is None:
            return
        try:
            self._pcontext.close(death_sig, int(self._patience))
        except SignalException:
            self._pcontext.close(signal.SIGKILL, _TO_DIE)
            raise
