"""A simulated worker: TorchServe's queue, its Python workers, and the GPU that they share.

Batches of frames come in, and are answered after the time that they take: decoding, the passes that
the real planner chooses, encoding. Called by `loadtest.simulation.gateway`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from handlers.shared.frame import Frame
from handlers.stages.plan import plan
from loadtest.simulation.costs import Costs


class QueueFullError(Exception):
    """TorchServe answers 503: it has `job_queue_size` requests that wait."""


@dataclass(frozen=True, slots=True)
class WorkerSize:
    """A pod: its Python workers, the codec threads of each, TorchServe's queue."""

    python_workers: int
    codec_threads: int
    processors: float
    batch_images: int
    job_queue_size: int = 100


class Worker:
    """One TorchServe, alone on its machine."""

    def __init__(self, name: str, size: WorkerSize, costs: Costs, slowness: float = 1.0) -> None:
        """Take how many times slower than the costs say it computes."""
        self.name = name
        self.images = 0
        self.refused = 0
        self.busy_s = 0.0  # of all Python workers
        self.gpu_busy_s = 0.0
        self.is_running = True
        self._size = size
        self._costs = costs
        self._slowness = slowness
        self._waiting = 0
        self._idle = asyncio.Semaphore(size.python_workers)
        self._gpu = asyncio.Lock()

    async def answer(self, frames: Sequence[Frame]) -> None:
        """Compute a batch. Raises QueueFullError, and ConnectionError where it has been killed."""
        if not self.is_running:
            raise ConnectionRefusedError(self.name)
        if self._waiting >= self._size.job_queue_size:
            self.refused += 1
            raise QueueFullError
        await asyncio.sleep(self._costs.java_ms / 1000)
        self._waiting += 1
        try:
            await self._idle.acquire()
        finally:
            self._waiting -= 1
        try:
            await self._compute(frames)
        finally:
            self._idle.release()
        if not self.is_running:
            raise ConnectionResetError(self.name)
        self.images += len(frames)

    async def _compute(self, frames: Sequence[Frame]) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        costs, count = self._costs, len(frames)
        threads = min(count, self._size.codec_threads)
        codecs_ms = costs.codecs_ms * count / threads
        around_s = self._slowness * (costs.python_ms * count + codecs_ms) / 1000
        await asyncio.sleep(around_s / 2)
        await self._pass(self._slowness * self._passes_ms(frames) / 1000)
        await asyncio.sleep(around_s / 2)
        self.busy_s += loop.time() - started_s

    async def _pass(self, seconds: float) -> None:
        if not self._costs.has_gpu:  # a Python worker computes on its own processor
            await asyncio.sleep(seconds)
            return
        async with self._gpu:
            await asyncio.sleep(seconds)
            self.gpu_busy_s += seconds

    def _passes_ms(self, frames: Sequence[Frame]) -> float:
        passes = self._costs.passes
        canvases = {
            index: (passes.shared_canvas(*frame) if passes.ladder else None) or frame
            for index, frame in enumerate(frames)
        }
        return sum(
            passes.shared[group.canvas, len(group.members)].ms
            if len(group.members) > 1
            else passes.single_ms(group.canvas)
            for group in plan(canvases, passes)
        )
