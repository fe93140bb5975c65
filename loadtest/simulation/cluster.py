"""Gateways and workers under load, in virtual time: a scenario in, what was observed out.

Arrivals are random and independent of the answers (an open loop), each at a random process of a
random gateway, as a balancer that knows nothing would send them. Called by
`loadtest.simulation.run`.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from handlers.shared.frame import Frame
from loadtest.simulation import virtual_time
from loadtest.simulation.costs import Costs
from loadtest.simulation.gateway import MODEL, GatewayProcess
from loadtest.simulation.worker import Worker, WorkerSize
from loadtest.traffic.corpus import draw_sizes
from service.multiprocess.group import ProcessGroup

PHOTOS, SEED = 480, 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """How many of each, and what arrives."""

    name: str
    workers: int
    gateways: int
    processes: int  # of each gateway
    per_s: float
    seconds: float
    size: WorkerSize
    costs: Costs
    warm_up_s: float = 0.5  # not counted
    max_in_flight: int = 512  # of each gateway
    slow_workers: int = 0
    slowness: float = 3.0  # of those
    killed_workers: int = 0  # halfway


@dataclass(slots=True)
class Observed:
    """What happened after the warm-up; one number a worker or process, or an answer."""

    seconds: float
    latencies_s: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0
    images: list[int] = field(default_factory=list)
    worker_busy: list[float] = field(default_factory=list)  # shares of their Python workers' time
    gpu_busy: list[float] = field(default_factory=list)
    gateway_busy: list[float] = field(default_factory=list)
    queue_full: int = 0  # answers of TorchServe


def simulate(scenario: Scenario) -> Observed:
    """Run a scenario."""
    return virtual_time.run(Cluster(scenario).run())


class Cluster:
    """All workers and gateways of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._rng = random.Random(f"{SEED} {scenario.name}")
        self._observed = Observed(scenario.seconds)
        sizes = draw_sizes("mix", PHOTOS, SEED)
        self._frames = [Frame.of(size) for size in sizes]

    async def run(self) -> Observed:
        """Send arrivals for the warm-up and the scenario's time, and wait for their answers."""
        scenario = self._scenario
        self._workers = [self._worker(index) for index in range(scenario.workers)]
        self._processes = list(self._gateways())
        loop = asyncio.get_running_loop()
        loop.call_later(scenario.warm_up_s, self._begin)
        loop.call_later(scenario.warm_up_s + scenario.seconds / 2, self._kill)
        end_s = scenario.warm_up_s + scenario.seconds
        loop.call_later(end_s, self._end)
        requests: set[asyncio.Task[None]] = set()
        while loop.time() < end_s:
            request = asyncio.create_task(self._request(loop.time() >= scenario.warm_up_s))
            requests.add(request)
            request.add_done_callback(requests.discard)
            await asyncio.sleep(self._rng.expovariate(scenario.per_s))
        await asyncio.gather(*requests)
        return self._observed

    def _worker(self, index: int) -> Worker:
        scenario = self._scenario
        slowness = scenario.slowness if index < scenario.slow_workers else 1.0
        return Worker(f"worker-{index}", scenario.size, scenario.costs, slowness)

    def _gateways(self) -> Sequence[GatewayProcess]:
        scenario = self._scenario
        limit = scenario.max_in_flight // scenario.processes
        made = []
        for _ in range(scenario.gateways):
            group = ProcessGroup([MODEL], scenario.processes)
            made += [
                GatewayProcess(self._workers, scenario.size, scenario.costs, limit, group.at(index))
                for index in range(scenario.processes)
            ]
        return made

    async def _request(self, is_counted: bool) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        process, frame = self._rng.choice(self._processes), self._rng.choice(self._frames)
        try:
            accepted = await process.segment(frame)
        except Exception:  # noqa: BLE001 - counted, as a client does
            self._observed.failed += is_counted
            return
        if not is_counted:
            return
        if accepted:
            self._observed.latencies_s.append(loop.time() - started_s)
        else:
            self._observed.refused += 1

    def _begin(self) -> None:
        """Count from here on."""
        self._before = self._counts()

    def _end(self) -> None:
        observed, size = self._observed, self._scenario.size
        images, busy_s, gpu_s, gateway_s, refused = (
            [now - before for now, before in zip(after, earlier, strict=True)]
            for after, earlier in zip(self._counts(), self._before, strict=True)
        )
        observed.images = [int(count) for count in images]
        observed.worker_busy = [s / observed.seconds / size.python_workers for s in busy_s]
        observed.gpu_busy = [seconds / observed.seconds for seconds in gpu_s]
        observed.gateway_busy = [seconds / observed.seconds for seconds in gateway_s]
        observed.queue_full = int(sum(refused))

    def _counts(self) -> list[list[float]]:
        of_worker: list[Callable[[Worker], float]] = [
            lambda worker: worker.images,
            lambda worker: worker.busy_s,
            lambda worker: worker.gpu_busy_s,
        ]
        return [
            *([count(worker) for worker in self._workers] for count in of_worker),
            [process.busy_s for process in self._processes],
            [worker.refused for worker in self._workers],
        ]

    def _kill(self) -> None:
        for worker in self._workers[: self._scenario.killed_workers]:
            worker.is_running = False
