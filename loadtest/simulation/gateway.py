"""A simulated gateway process: the real queue, replicas and dispatcher, in front of simulated
workers.

Images come in, and leave when they are answered or refused. The process's event loop is one
processor, which each image occupies before it is queued and after it is answered. Called by
`loadtest.simulation.cluster`.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import cast

from prometheus_client import CollectorRegistry

from handlers.shared.frame import Frame
from loadtest.simulation.costs import Costs
from loadtest.simulation.worker import QueueFullError, Worker, WorkerSize
from service.backend.client import TorchServeClient
from service.backend.dispatcher import Dispatcher
from service.backend.queue import DispatchLimits, QueueEntry
from service.backend.replicas.replica import ModelReplica
from service.backend.replicas.replica_set import ModelReplicas
from service.metrics.queue import QueueMetrics
from service.multiprocess.group import ProcessGroup

MODEL = "simulated"
BODY_BYTES = 20_000
# half of what a batch may take before it is killed, as a model card says (response_timeout_s: 15)
BATCHES_S = 7.5
MAX_ATTEMPTS = 5  # as service/backend/retry.py


class LostError(Exception):
    """A worker refused a request, or ended with it."""

    def __init__(self, replica: str) -> None:
        super().__init__(replica)
        self.replica = replica


class GatewayProcess:
    """One process of one gateway."""

    def __init__(
        self,
        workers: Sequence[Worker],
        size: WorkerSize,
        costs: Costs,
        max_in_flight: int,
        group: ProcessGroup,
    ) -> None:
        """Take how many images it accepts at a time, and the processes of its gateway."""
        self.refused = 0
        self.retried = 0
        self.busy_s = 0.0
        self._workers: Mapping[str, Worker] = {worker.name: worker for worker in workers}
        self._half_s = costs.gateway_s(len(workers), group.count) / 2
        self._costs = costs
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._free_at_s = 0.0
        self._limits = DispatchLimits.of(
            size.python_workers, size.batch_images, BATCHES_S, math.inf
        )
        self._replicas = self._replicas_of(group)
        self._dispatcher: Dispatcher[Frame, None] = Dispatcher(
            QueueMetrics(CollectorRegistry()).of(MODEL), self._send, self._replicas
        )

    async def segment(self, frame: Frame) -> bool:
        """Have an image computed; return whether it was accepted. Raises LostError."""
        if self._in_flight >= self._max_in_flight:
            self.refused += 1
            return False
        self._in_flight += 1
        try:
            await self._work()
            cost_s = self._costs.predicted_s(frame)
            entry = self._dispatcher.entry(frame, cost_s, self._limits, BODY_BYTES, frame.pixels)
            await self._answer(entry, frame)
            await self._work()
        finally:
            self._in_flight -= 1
        return True

    async def _answer(self, entry: QueueEntry, frame: Frame) -> None:
        """Send an image until a worker has answered it, another one first."""
        for attempt in range(MAX_ATTEMPTS):
            try:
                await self._dispatcher.run(entry, frame)
            except LostError as lost:
                if attempt == MAX_ATTEMPTS - 1:
                    raise
                self.retried += 1
                entry = entry._replace(avoid=lost.replica)
            else:
                return

    async def _work(self) -> None:
        """Wait for the event loop, and for what it does for an image."""
        now_s = asyncio.get_running_loop().time()
        self._free_at_s = max(now_s, self._free_at_s) + self._half_s
        self.busy_s += self._half_s
        await asyncio.sleep(self._free_at_s - now_s)

    async def _send(
        self, replica: ModelReplica, frames: Sequence[Frame]
    ) -> Sequence[Exception | None]:
        """Send a batch to a worker, and record for its replica what becomes of it."""
        try:
            await self._workers[replica.name].answer(frames)
        except (QueueFullError, ConnectionError):
            replica.refused()
            return [LostError(replica.name) for _ in frames]
        replica.answered(asyncio.get_running_loop().time())
        return [None] * len(frames)

    def _replicas_of(self, group: ProcessGroup) -> ModelReplicas:
        """Make a replica for each worker, alive from the start as after its first probe."""
        client = cast(TorchServeClient, None)  # `_send` takes its place
        replicas = ModelReplicas()
        replicas.all = [
            ModelReplica(name, MODEL, client, group, replicas.changed) for name in self._workers
        ]
        for replica in replicas.all:
            replica.is_alive = True
        replicas.changed()
        return replicas
