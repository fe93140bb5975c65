"""The dispatcher in front of TorchServe: it keeps its limits, and each image gets its turn."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from handlers.shared.frame import Frame
from handlers.shared.wire import MOST_JOINT_BYTES, MOST_JOINT_PIXELS
from service.backend import queue as queue_module
from service.backend.dispatcher import Dispatcher
from service.backend.queue import DispatchLimits
from service.backend.replicas.replica import ModelReplica
from service.metrics.kept import Gauge
from service.metrics.queue import ModelQueueMetrics, QueueMetrics
from tests.support.fakes import CAT, FAKE_PIXELS_PER_S, FakeTorchServe, Gateway, running, until
from tests.support.replicas import model_replicas

MAX_OVERTAKEN = 2
TURNS = 6  # of the loop: more than any step of the dispatcher needs


def gauges(shown: ModelQueueMetrics) -> tuple[float, float, float, float]:
    return (
        value(shown.images_waiting),
        value(shown.seconds_waiting),
        value(shown.images_dispatched),
        value(shown.seconds_dispatched),
    )


def value(gauge: Gauge) -> float:
    (metric,) = gauge.collect()
    (sample,) = metric.samples
    return sample.value


async def settle(turns: int = TURNS) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


class Simulation:
    """Images that arrive, are answered or cancelled, and what the dispatcher does with them.

    A request is answered once all of its images are to end.
    """

    def __init__(self, *limits: float, exclusive_s: float = math.inf, workers: int = 2) -> None:
        """Take the limits: requests, images of each, and seconds of all."""
        requests, images, seconds = limits
        self.limits = DispatchLimits(int(requests), int(images), seconds, workers, exclusive_s)
        self.metrics = QueueMetrics(CollectorRegistry()).of("any")
        replicas = model_replicas("one")
        (self.replica,) = replicas.all
        self.dispatcher: Dispatcher[int, int] = Dispatcher(self.metrics, self.send, replicas)
        self.callers: list[asyncio.Task[int]] = []
        self.seconds: list[float] = []
        self.requests: list[Sequence[int]] = []
        self.ends: dict[int, asyncio.Event] = {}

    async def send(self, _replica: ModelReplica, images: Sequence[int]) -> Sequence[int]:
        self.requests.append(images)
        for number in images:
            await self.ends[number].wait()
        return images

    def arrive(self, *seconds: float, is_suspect: bool = False) -> None:
        """Add images with frames as large as their costs."""
        for each in seconds:
            number = len(self.callers)
            self.seconds.append(each)
            self.ends[number] = asyncio.Event()
            entry = self.dispatcher.entry(Frame(1, int(each)), each, self.limits, 1, 1)
            entry = entry._replace(is_suspect=is_suspect)
            self.callers.append(asyncio.create_task(self.dispatcher.run(entry, number)))

    async def end(self, *numbers: int) -> None:
        for number in numbers:
            self.ends[number].set()
        await settle()

    @property
    def started(self) -> list[int]:
        return [number for request in self.requests for number in request]

    @property
    def requests_in_flight(self) -> list[Sequence[int]]:
        return [
            request
            for request in self.requests
            if not all(self.ends[number].is_set() for number in request)
        ]

    @property
    def in_flight(self) -> list[int]:
        return [number for request in self.requests_in_flight for number in request]

    @property
    def waiting(self) -> list[int]:
        return [
            number
            for number, caller in enumerate(self.callers)
            if not caller.done() and number not in self.started
        ]

    def check(self) -> None:
        seconds = [self.seconds[number] for number in self.in_flight]
        assert len(self.requests_in_flight) <= self.limits.requests
        assert all(len(request) <= self.limits.images for request in self.requests)
        assert sum(seconds) <= self.limits.seconds or len(seconds) == 1
        for position, number in enumerate(self.started):
            assert sum(later > number for later in self.started[:position]) <= MAX_OVERTAKEN
        room = self.replica.room
        assert (room.images, room.seconds) == (len(seconds), sum(seconds))
        assert room.shared_requests == len(self.requests_in_flight)
        waiting = [self.seconds[number] for number in self.waiting]
        assert gauges(self.metrics) == (len(waiting), sum(waiting), len(seconds), sum(seconds))
        if self.waiting:  # there is no room for the first
            assert seconds
            assert (
                len(self.requests_in_flight) == self.limits.requests
                or self.waits_for_more()
                or sum(seconds) + self.seconds[self.waiting[0]] > self.limits.seconds
            )

    def waits_for_more(self) -> bool:
        """Whether the next request has fewer images yet than those before it."""
        requests = self.requests_in_flight
        mean = sum(map(len, requests)) / len(requests)
        return len(requests) >= self.limits.workers and len(self.waiting) < mean


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "arrive", "end", "cancel"]),
        st.integers(1, 12),
        st.integers(0, TURNS),  # turns of the loop before the next step
    ),
    max_size=40,
)


@given(STEPS, st.integers(2, 4), st.integers(1, 4), st.integers(1, 10))
def test_the_limits_hold_and_each_image_gets_its_turn(
    steps: list[tuple[str, int, int]], requests: int, images: int, seconds: int
) -> None:
    with patch.object(queue_module, "MAX_OVERTAKEN", MAX_OVERTAKEN):
        asyncio.run(simulate(steps, requests, images, seconds))


async def simulate(steps: list[tuple[str, int, int]], *limits: int) -> None:
    simulation = Simulation(*limits)
    for step, number, turns in steps:
        if step == "arrive":
            simulation.arrive(number)
        elif step == "end" and simulation.in_flight:
            simulation.ends[simulation.in_flight[number % len(simulation.in_flight)]].set()
        elif step == "cancel" and simulation.callers:
            simulation.callers[number % len(simulation.callers)].cancel()
        await settle(turns)
        if turns == TURNS:
            simulation.check()
    for end in simulation.ends.values():
        end.set()
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*simulation.callers, return_exceptions=True), 5)
    await settle()
    assert all(caller.done() for caller in simulation.callers)
    for number, caller in enumerate(simulation.callers):
        assert caller.cancelled() or caller.result() == number
    simulation.check()
    assert gauges(simulation.metrics) == (0, 0, 0, 0)


async def test_images_that_are_ready_at_the_same_moment_go_together() -> None:
    simulation = Simulation(2, 8, 100, workers=1)
    simulation.arrive(1, 1, 1)
    await settle()
    assert simulation.requests == [[0, 1, 2]]


async def test_an_image_goes_at_once_while_a_worker_is_idle() -> None:
    simulation = Simulation(4, 8, 100, workers=2)
    for number in range(2):
        simulation.arrive(1)
        await settle()
        assert simulation.requests[-1] == [number]


async def test_the_next_request_waits_for_as_many_images_as_those_in_work_have() -> None:
    simulation = Simulation(2, 8, 100, workers=1)
    simulation.arrive(*[1] * 4)
    await settle()
    for number in range(4, 7):
        simulation.arrive(1)
        await settle()
        assert simulation.in_flight == [0, 1, 2, 3], number
    simulation.arrive(1)
    await settle()
    assert simulation.requests == [[0, 1, 2, 3], [4, 5, 6, 7]]


async def test_the_next_request_waits_for_no_more_images_than_it_may_have() -> None:
    simulation = Simulation(2, 3, 100, workers=1)
    simulation.arrive(*[1] * 6)
    await settle()
    assert simulation.requests == [[0, 1, 2], [3, 4, 5]]


async def test_what_waits_goes_once_nothing_is_in_work() -> None:
    simulation = Simulation(2, 8, 100, workers=1)
    simulation.arrive(*[1] * 4)
    await settle()
    simulation.arrive(1)
    await settle()
    await simulation.end(0, 1, 2, 3)
    assert simulation.requests[1:] == [[4]]


async def test_clients_that_wait_for_their_answers_come_to_requests_of_equal_size() -> None:
    """Not one image beside all others, however the first ones arrived."""
    simulation = Simulation(2, 16, 1000, workers=1)
    simulation.arrive(1)
    await settle()
    for _ in range(15):
        simulation.arrive(1)
    for _ in range(40):
        await settle()
        request = simulation.requests_in_flight[0]
        await simulation.end(*request)
        for _ in request:  # their clients' next images, one after the other
            simulation.arrive(1)
            await settle()
    assert [len(request) for request in simulation.requests[-4:]] == [8, 8, 8, 8]


async def test_a_suspect_goes_alone() -> None:
    simulation = Simulation(8, 8, 100, workers=8)
    simulation.arrive(1)
    simulation.arrive(1, 1, is_suspect=True)
    simulation.arrive(1, 1)
    await settle()
    assert simulation.requests == [[0], [1], [2], [3, 4]]


@pytest.mark.parametrize("is_by_bytes", [True, False], ids=["bytes", "pixels"])
async def test_large_images_go_in_several_requests(is_by_bytes: bool) -> None:
    simulation = Simulation(8, 8, 100, workers=8)
    limits = (MOST_JOINT_BYTES, 1) if is_by_bytes else (1, MOST_JOINT_PIXELS)
    for number, part in enumerate((0.5, 0.5, 0.1, 2, 0.1)):
        size = (int(part * limit) for limit in limits)
        entry = simulation.dispatcher.entry(Frame(1, 1), 1, simulation.limits, *size)
        simulation.ends[number] = asyncio.Event()
        simulation.callers.append(asyncio.create_task(simulation.dispatcher.run(entry, number)))
    await settle()
    assert simulation.requests == [[0, 1], [2], [3], [4]]


async def test_a_costly_image_waits_for_room_and_is_not_overtaken() -> None:
    simulation = Simulation(4, 1, 10, workers=4)
    simulation.arrive(3, 3, 99, 1)
    await settle()
    assert simulation.in_flight == [0, 1]  # the last would fit
    await simulation.end(0)
    assert simulation.in_flight == [1]
    await simulation.end(1)
    assert simulation.in_flight == [2]
    await simulation.end(2)
    assert simulation.in_flight == [3]
    await simulation.end(3)
    assert await asyncio.gather(*simulation.callers) == [0, 1, 2, 3]


async def test_a_retried_image_keeps_its_position() -> None:
    simulation = Simulation(1, 1, 10)
    entry = simulation.dispatcher.entry(Frame(1, 1), 1, simulation.limits, 1, 1)
    simulation.arrive(1, 1, 1)
    await settle()
    simulation.ends[99] = asyncio.Event()
    again = asyncio.create_task(simulation.dispatcher.run(entry, 99))
    await settle()
    await simulation.end(0)
    assert simulation.started == [0, 99]
    await simulation.end(99)
    assert await again == 99


async def test_images_of_similar_sizes_go_together() -> None:
    simulation = Simulation(1, 3, 10_000)
    sizes = [100, 10, 90, 11, 95, 12]
    simulation.arrive(1)
    await settle()
    simulation.arrive(*sizes)
    await settle()
    for number in range(len(sizes) + 1):
        await simulation.end(number)
    requests = [[simulation.seconds[number] for number in each] for each in simulation.requests]
    assert requests == [[1], [100, 95, 90], [10, 11, 12]]


async def test_a_cancelled_first_image_lets_the_next_one_be_sent() -> None:
    simulation = Simulation(2, 1, 10)
    simulation.arrive(9, 5, 1)
    await settle()
    assert (simulation.in_flight, simulation.waiting) == ([0], [1, 2])
    simulation.callers[1].cancel()
    await settle()
    assert simulation.in_flight == [0, 2]


@pytest.mark.parametrize("turns", range(TURNS))
async def test_a_caller_may_be_cancelled_at_the_very_moment_of_its_turn(turns: int) -> None:
    simulation = Simulation(1, 1, 10)
    simulation.arrive(1, 1)
    await settle()
    simulation.ends[0].set()
    await settle(turns)
    simulation.callers[1].cancel()
    await simulation.end(1)
    room = simulation.replica.room
    assert (room.images, room.seconds) == (0, 0)
    simulation.arrive(1)
    await settle()
    assert simulation.in_flight == [2]


async def test_a_request_keeps_its_room_and_its_mates_after_a_caller_is_cancelled() -> None:
    simulation = Simulation(1, 2, 10)
    simulation.arrive(1, 1, 1)
    await settle()
    simulation.callers[0].cancel()
    await settle()
    assert simulation.callers[0].cancelled()
    assert (simulation.in_flight, simulation.waiting) == ([0, 1], [2])
    await simulation.end(0, 1)
    assert simulation.callers[1].result() == 1
    assert simulation.in_flight == [2]


async def test_each_image_of_a_request_has_an_outcome_of_its_own() -> None:
    async def send(_: ModelReplica, _images: Sequence[int]) -> Sequence[int | Exception]:
        return [0, KeyError("of the second"), 2]

    metrics, replicas = QueueMetrics(CollectorRegistry()).of("a"), model_replicas("one")
    dispatcher: Dispatcher[int, int] = Dispatcher(metrics, send, replicas)
    limits = DispatchLimits(1, 3, 10)
    callers = [
        dispatcher.run(dispatcher.entry(Frame(1, 1), 1, limits, 1, 1), number)
        for number in range(3)
    ]
    first, second, third = await asyncio.gather(*callers, return_exceptions=True)
    assert (first, third) == (0, 2)
    assert isinstance(second, KeyError)


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_a_request_that_fails_gives_its_room_back(is_cancelled: bool) -> None:
    go = asyncio.Event()

    async def send(_: ModelReplica, _images: Sequence[int]) -> Sequence[int]:
        await go.wait()
        return [1 // 0]

    metrics, replicas = QueueMetrics(CollectorRegistry()).of("a"), model_replicas("one")
    (replica,) = replicas.all
    dispatcher: Dispatcher[int, int] = Dispatcher(metrics, send, replicas)
    entry = dispatcher.entry(Frame(1, 5), 5, DispatchLimits(1, 1, 10), 1, 1)
    caller = asyncio.create_task(dispatcher.run(entry, 0))
    await settle()
    if is_cancelled:
        caller.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError if is_cancelled else ZeroDivisionError):
        await caller
    await settle()
    assert (replica.room.images, replica.room.seconds) == (0, 0)


async def test_closing_cancels_the_requests_of_cancelled_callers() -> None:
    simulation = Simulation(3, 1, 10)
    simulation.arrive(1)
    await settle()
    simulation.callers[0].cancel()
    await settle()
    await simulation.dispatcher.close()
    assert (simulation.replica.room.images, simulation.replica.room.seconds) == (0, 0)


@pytest.mark.parametrize(
    ("size", "pixels"),
    [((1, 1), 1024), ((32, 32), 1024), ((33, 32), 2048), ((375, 500), 384 * 512)],
)
def test_a_frame_has_sides_that_32_divides(size: tuple[int, int], pixels: int) -> None:
    assert Frame.of(size).pixels == pixels


def test_the_limit_is_two_batches_a_worker_and_the_seconds_of_one() -> None:
    assert DispatchLimits.of(workers=2, batch_size=8, seconds=5, exclusive_s=1) == DispatchLimits(
        4, 8, 5, 2, 1
    )


@asynccontextmanager
async def limited_to_two(**settings: object) -> AsyncIterator[Gateway]:
    """A gateway that may dispatch two photos at a time, to a worker that hangs."""
    async with running(FakeTorchServe(batch_size=1), **settings) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        yield gateway


def shown(gateway: Gateway) -> tuple[float, float]:
    names = ("fcnserve_images_waiting", "fcnserve_images_handed_over")
    waiting, dispatched = map(gateway.value, names)
    return waiting, dispatched


def becomes(gateway: Gateway, *expected: float) -> Callable[[], bool]:
    return lambda: shown(gateway) == expected


async def test_the_worker_is_never_given_more_than_two_batches() -> None:
    async with limited_to_two() as gateway:
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(gateway.segment()) for _ in range(6)]
            await until(becomes(gateway, 4, 2))
            await until(lambda: len(gateway.torchserve.photos) == 2)
            assert gateway.in_flight == 6
            gateway.torchserve.released.set()
        assert {answer.result().status_code for answer in answers} == {200}
        assert shown(gateway) == (0, 0)


async def test_predicted_seconds_limit_what_is_dispatched() -> None:
    """A cat takes 480x320 = 153,600 pixels of the network; at max_side=64 it takes 4,096."""
    cat_s, small_s = 153_600 / FAKE_PIXELS_PER_S, 4096 / FAKE_PIXELS_PER_S
    torchserve = FakeTorchServe(batch_size=1, response_timeout_s=3 * cat_s)  # room for 1.5 cats
    async with running(torchserve) as gateway:
        await gateway.ready()
        torchserve.fault = torchserve.hangs
        async with asyncio.TaskGroup() as group:
            group.create_task(gateway.segment())
            await until(becomes(gateway, 0, 1))
            group.create_task(gateway.segment())
            await until(becomes(gateway, 1, 1))
            assert gateway.value("fcnserve_seconds_waiting") == cat_s
            assert gateway.value("fcnserve_seconds_handed_over") == cat_s
            assert gateway.value("fcnserve_seconds_in_flight") == 2 * cat_s
            torchserve.released.set()
        torchserve.released.clear()
        async with asyncio.TaskGroup() as group:
            for dispatched, max_side in ((1, 480), (2, 64)):
                group.create_task(gateway.segment(max_side=max_side))
                await until(becomes(gateway, 0, dispatched))
            assert gateway.value("fcnserve_seconds_handed_over") == cat_s + small_s
            torchserve.released.set()


async def test_time_in_the_queue_counts_as_waiting() -> None:
    async with limited_to_two() as gateway:
        async with asyncio.TaskGroup() as group:
            first = [group.create_task(gateway.segment()) for _ in range(2)]
            await until(becomes(gateway, 0, 2))
            last = group.create_task(gateway.segment())
            await until(becomes(gateway, 1, 2))
            before = asyncio.get_running_loop().time()
            await until(lambda: asyncio.get_running_loop().time() > before + 0.1)
            gateway.torchserve.released.set()
        assert {task.result().status_code for task in first} == {200}
        timing = dict(
            entry.split(";dur=") for entry in last.result().headers["server-timing"].split(", ")
        )
        assert float(timing["wait"]) > 100


async def test_an_image_that_expires_in_the_queue_never_reaches_the_worker() -> None:
    async with limited_to_two() as gateway, asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(gateway.segment())
        await until(becomes(gateway, 0, 2))
        late = await gateway.segment(CAT + b"late", timeout_ms=50)
        assert late.json()["code"] == "deadline_exceeded"
        assert shown(gateway) == (0, 2)
        assert gateway.in_flight == 2
        gateway.torchserve.released.set()
        assert (await gateway.segment()).status_code == 200
        assert CAT + b"late" not in [call.body for call in gateway.torchserve.photos]


async def test_an_image_of_a_disconnected_client_leaves_the_queue_at_once() -> None:
    async with limited_to_two() as gateway, asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(gateway.segment())
        await until(becomes(gateway, 0, 2))
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        head = f"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: {len(CAT)}\r\n\r\n"
        writer.write(head.encode() + CAT)
        await until(becomes(gateway, 1, 2))
        writer.close()
        await until(becomes(gateway, 0, 2))
        assert gateway.in_flight == 2
        disconnected = {"route": "/v1/segment", "status": "499", "code": ""}
        assert gateway.value("fcnserve_requests_total", **disconnected) == 1
        assert [line for line in gateway.logs if line["log_level"] == "error"] == []
        gateway.torchserve.released.set()


async def test_a_dispatched_image_is_read_to_its_end_after_its_deadline() -> None:
    async with limited_to_two() as gateway:
        answer = await gateway.segment(timeout_ms=50)
        assert answer.status_code == 504
        assert gateway.in_flight == 0
        assert shown(gateway) == (0, 1)
        assert gateway.value("fcnserve_batch_images_count") == 0
        gateway.torchserve.released.set()
        await until(becomes(gateway, 0, 0))
        assert gateway.value("fcnserve_batch_images_count") == 1
        assert gateway.value("fcnserve_stage_duration_seconds_count", stage="render") == 0


async def test_an_image_that_torchserve_loses_is_given_up() -> None:
    async with limited_to_two(attempt_timeout_s=0.1, restart_wait_s=0) as gateway:
        for _ in range(3):
            answer = await gateway.segment()
            assert (answer.status_code, answer.json()["code"]) == (502, "worker_crashed")
            assert "within 0.1 s" in answer.json()["detail"]
        assert shown(gateway) == (0, 0)


async def test_the_worker_gets_an_images_predicted_cost() -> None:
    async with running() as gateway:
        await gateway.segment()
        (call,) = gateway.torchserve.photos
        assert call.options["cost_s"] == 153_600 / FAKE_PIXELS_PER_S
