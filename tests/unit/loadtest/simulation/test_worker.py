"""A simulated worker takes the time that its costs say, and no more than its machine has."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from handlers.shared.frame import Frame
from loadtest.simulation.costs import CPU_PASSES_MS, Costs, costs_of
from loadtest.simulation.virtual_time import run
from loadtest.simulation.worker import QueueFullError, Worker, WorkerSize

SIZE = WorkerSize(python_workers=2, codec_threads=2, processors=4, batch_images=4)
SMALL = Frame(128, 128)
FREE = replace(costs_of("cpu"), java_ms=0, python_ms=0, codecs_ms=0)


def seconds_of(work: Callable[[], Awaitable[object]]) -> float:
    async def timed() -> float:
        await work()
        return asyncio.get_running_loop().time()

    return run(timed())


def batches(count: int, costs: Costs, size: WorkerSize = SIZE, slowness: float = 1) -> float:
    """Simulate batches of one photo, sent together; returns the seconds until all are answered."""

    async def all_answered() -> None:
        worker = Worker("worker", size, costs, slowness)
        await asyncio.gather(*(worker.answer([SMALL]) for _ in range(count)))
        assert worker.images == count

    return seconds_of(all_answered)


def test_the_passes_of_a_processor_are_those_that_were_measured() -> None:
    for frame, ms in CPU_PASSES_MS.items():
        assert costs_of("cpu").passes.single_ms(frame) == pytest.approx(ms)


def test_python_workers_compute_at_the_same_time_and_others_wait() -> None:
    one_s = batches(1, FREE)
    assert one_s == pytest.approx(CPU_PASSES_MS[SMALL] / 1000)
    assert batches(2, FREE) == pytest.approx(one_s)
    assert batches(5, FREE) == pytest.approx(3 * one_s)
    assert batches(1, FREE, slowness=3) == pytest.approx(3 * one_s)


def test_a_gpu_runs_one_pass_at_a_time() -> None:
    gpu = replace(costs_of("gpu"), java_ms=0, python_ms=0, codecs_ms=0)
    assert batches(2, gpu) == pytest.approx(2 * batches(1, gpu))


def test_photos_of_a_batch_share_passes_where_that_is_faster() -> None:
    gpu = replace(costs_of("gpu"), java_ms=0, python_ms=0, codecs_ms=0)

    async def batch() -> None:
        await Worker("worker", SIZE, gpu).answer([SMALL] * 4)

    assert seconds_of(batch) == pytest.approx(gpu.passes.shared[SMALL, 4].ms / 1000)
    assert seconds_of(batch) < 4 * batches(1, gpu)


def test_a_full_queue_refuses_and_a_killed_worker_loses_what_it_has() -> None:
    async def scenario() -> list[object]:
        worker = Worker("worker", replace(SIZE, job_queue_size=1), costs_of("cpu"))
        sent = [asyncio.create_task(worker.answer([SMALL])) for _ in range(3)]
        await asyncio.sleep(0.001)
        with pytest.raises(QueueFullError):
            await worker.answer([SMALL])
        worker.is_running = False
        return await asyncio.gather(*sent, return_exceptions=True)

    assert [type(each) for each in run(scenario())] == [ConnectionResetError] * 3
