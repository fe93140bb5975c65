"""The gate in front of TorchServe: never above its bounds, and nobody waits for long."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from handlers.shared.frame import Frame
from service.backend import queue as line_module
from service.backend.dispatcher import Dispatcher
from service.backend.queue import DispatchLimits
from service.metrics.queue import QueueMetrics
from tests.support.fakes import CAT, FAKE_PIXELS_PER_S, FakeTorchServe, Gateway, running, until

MAX_OVERTAKEN = 2
TURNS = 6  # of the loop: more than any step of the line needs


def dispatcher() -> Dispatcher:
    return Dispatcher(QueueMetrics(CollectorRegistry()).of("any"))


def gauges(line: Dispatcher) -> tuple[float, float, float, float]:
    shown = line._metrics
    return (
        shown.images_waiting._value.get(),
        shown.seconds_waiting._value.get(),
        shown.images_dispatched._value.get(),
        shown.seconds_dispatched._value.get(),
    )


async def settle(turns: int = TURNS) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


@dataclass
class Scene:
    """Images that come, go and end as told, and what the line made of it."""

    images: int
    most_seconds: float
    exclusive_s: float = math.inf
    line: Dispatcher = field(default_factory=dispatcher)
    callers: list["asyncio.Task[int]"] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    ends: dict[int, asyncio.Event] = field(default_factory=dict)

    @property
    def bounds(self) -> DispatchLimits:
        return DispatchLimits(self.images, self.most_seconds, 2, self.exclusive_s)

    def arrive(self, seconds: float) -> None:
        """An image whose frame is as large as it is costly."""
        number = len(self.callers)
        self.seconds.append(seconds)
        self.ends[number] = asyncio.Event()

        async def job() -> int:
            self.begun.append(number)
            await self.ends[number].wait()
            return number

        entry = self.line.entry(Frame(1, int(seconds)), seconds, self.bounds)
        self.callers.append(asyncio.create_task(self.line.run(entry, job)))

    @property
    def underway(self) -> list[int]:
        return [number for number in self.begun if not self.ends[number].is_set()]

    @property
    def waiting(self) -> list[int]:
        return [
            number
            for number, caller in enumerate(self.callers)
            if not caller.done() and number not in self.begun
        ]

    def check(self) -> None:
        seconds = [self.seconds[number] for number in self.underway]
        assert len(seconds) <= self.bounds.images
        assert sum(seconds) <= self.bounds.seconds or len(seconds) == 1
        for place, number in enumerate(self.begun):
            assert sum(later > number for later in self.begun[:place]) <= MAX_OVERTAKEN
        assert (self.line.images, self.line.seconds) == (len(seconds), sum(seconds))
        waiting = [self.seconds[number] for number in self.waiting]
        assert gauges(self.line) == (len(waiting), sum(waiting), len(seconds), sum(seconds))
        if self.waiting:  # there is no room for the first
            assert seconds
            assert (
                len(seconds) == self.bounds.images
                or sum(seconds) + self.seconds[self.waiting[0]] > self.bounds.seconds
            )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "arrive", "end", "leave"]),
        st.integers(1, 12),
        st.integers(0, TURNS),  # turns of the loop before the next step
    ),
    max_size=40,
)


@given(STEPS, st.integers(1, 4), st.integers(1, 10))
@settings(deadline=None)
def test_the_bounds_hold_nobody_is_overtaken_often_and_nobody_is_forgotten(
    steps: list[tuple[str, int, int]], images: int, seconds: int
) -> None:
    with patch.object(line_module, "MAX_OVERTAKEN", MAX_OVERTAKEN):
        asyncio.run(play(Scene(images, seconds), steps))


async def play(scene: Scene, steps: list[tuple[str, int, int]]) -> None:
    for step, number, turns in steps:
        if step == "arrive":
            scene.arrive(number)
        elif step == "end" and scene.underway:
            scene.ends[scene.underway[number % len(scene.underway)]].set()
        elif step == "leave" and scene.callers:
            scene.callers[number % len(scene.callers)].cancel()
        await settle(turns)
        if turns == TURNS:
            scene.check()
    for end in scene.ends.values():
        end.set()
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*scene.callers, return_exceptions=True), 5)
    await settle()
    assert all(caller.done() for caller in scene.callers)
    for number, caller in enumerate(scene.callers):
        assert caller.cancelled() or caller.result() == number
    scene.check()
    assert gauges(scene.line) == (0, 0, 0, 0)


async def test_a_costly_image_waits_for_room_and_is_not_overtaken() -> None:
    scene = Scene(4, 10)
    for seconds in (3, 3, 99, 1):
        scene.arrive(seconds)
    await settle()
    assert scene.underway == [0, 1]  # the last would fit
    scene.ends[0].set()
    await settle()
    assert scene.underway == [1]
    scene.ends[1].set()
    await settle()
    assert scene.underway == [2]
    scene.ends[2].set()
    await settle()
    assert scene.underway == [3]
    scene.ends[3].set()
    assert await asyncio.gather(*scene.callers) == [0, 1, 2, 3]


async def test_who_comes_back_keeps_the_place_of_the_first_time() -> None:
    scene = Scene(1, 10)
    entry = scene.line.entry(Frame(1, 1), 1, scene.bounds)
    for _ in range(3):
        scene.arrive(1)
    await settle()
    begun: list[bool] = []

    async def job() -> None:
        begun.append(scene.begun == [0])

    again = asyncio.create_task(scene.line.run(entry, job))
    await settle()
    scene.ends[0].set()
    await again
    assert begun == [True]


async def test_of_those_that_wait_the_best_fitting_go_together() -> None:
    scene = Scene(2, 1000)
    sizes = [100, 10, 90, 11, 95, 12]
    for size in [1, *sizes]:
        scene.arrive(size)
    await settle()
    for number in range(len(sizes) + 1):
        scene.ends[scene.begun[number]].set()
        await settle()
    order = [scene.seconds[number] for number in scene.begun]
    assert order == [1, 100, 95, 90, 12, 11, 10]


async def test_a_caller_that_leaves_the_front_lets_the_next_one_in() -> None:
    scene = Scene(2, 10)
    for seconds in (9, 5, 1):
        scene.arrive(seconds)
    await settle()
    assert (scene.underway, scene.waiting) == ([0], [1, 2])
    scene.callers[1].cancel()
    await settle()
    assert scene.underway == [0, 2]


@pytest.mark.parametrize("turns", range(TURNS))
async def test_a_caller_may_leave_at_the_very_moment_of_its_turn(turns: int) -> None:
    scene = Scene(1, 10)
    scene.arrive(1)
    scene.arrive(1)
    await settle()
    scene.ends[0].set()
    await settle(turns)
    scene.callers[1].cancel()
    scene.ends[1].set()
    await settle()
    assert (scene.line.images, scene.line.seconds) == (0, 0)
    scene.arrive(1)
    await settle()
    assert scene.underway == [2]


async def test_a_job_goes_on_when_its_caller_leaves_and_holds_its_room() -> None:
    scene = Scene(1, 10)
    scene.arrive(1)
    scene.arrive(1)
    await settle()
    scene.callers[0].cancel()
    await settle()
    assert scene.callers[0].cancelled()
    assert (scene.underway, scene.waiting) == ([0], [1])
    scene.ends[0].set()
    await settle()
    assert scene.underway == [1]


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_job_that_fails_gives_its_room_back(leaves: bool) -> None:
    line, go = dispatcher(), asyncio.Event()

    async def job() -> int:
        await go.wait()
        return 1 // 0

    entry = line.entry(Frame(1, 5), 5, DispatchLimits(1, 10))
    caller = asyncio.create_task(line.run(entry, job))
    await settle()
    if leaves:
        caller.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError if leaves else ZeroDivisionError):
        await caller
    await settle()
    assert (line.images, line.seconds) == (0, 0)


async def test_closing_ends_what_nobody_waits_for() -> None:
    scene = Scene(3, 10)
    scene.arrive(1)
    await settle()
    scene.callers[0].cancel()
    await settle()
    await scene.line.close()
    assert (scene.line.images, scene.line.seconds) == (0, 0)


@pytest.mark.parametrize(
    ("size", "pixels"),
    [((1, 1), 1024), ((32, 32), 1024), ((33, 32), 2048), ((375, 500), 384 * 512)],
)
def test_a_frame_has_sides_that_32_divides(size: tuple[int, int], pixels: int) -> None:
    assert Frame.of(size).pixels == pixels


def test_the_bound_is_two_batches_a_worker_and_the_seconds_of_one() -> None:
    assert DispatchLimits.of(workers=2, batch_size=8, seconds=5, exclusive_s=1) == DispatchLimits(
        32, 5, 2, 1
    )


@asynccontextmanager
async def narrow(**settings: object) -> AsyncIterator[Gateway]:
    """A gateway that may hand over two photos at a time, to a worker that hangs."""
    async with running(FakeTorchServe(batch_size=1), **settings) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        yield gateway


def shown(gateway: Gateway) -> tuple[float, float]:
    names = ("fcnserve_images_waiting", "fcnserve_images_handed_over")
    waiting, handed_over = map(gateway.value, names)
    return waiting, handed_over


def becomes(gateway: Gateway, *wanted: float) -> Callable[[], bool]:
    return lambda: shown(gateway) == wanted


async def test_the_worker_is_never_given_more_than_two_batches() -> None:
    async with narrow() as gateway:
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(gateway.segment()) for _ in range(6)]
            await until(becomes(gateway, 4, 2))
            await until(lambda: len(gateway.torchserve.photos) == 2)
            assert gateway.in_flight == 6
            gateway.torchserve.released.set()
        assert {answer.result().status_code for answer in answers} == {200}
        assert shown(gateway) == (0, 0)


async def test_predicted_seconds_decide_what_is_handed_over_together() -> None:
    """A cat takes 480x320 = 153,600 pixels of the network; at max_side=64 it takes 4,096."""
    cat_s, small_s = 153_600 / FAKE_PIXELS_PER_S, 4096 / FAKE_PIXELS_PER_S
    torchserve = FakeTorchServe(batch_size=1, response_timeout_s=3 * cat_s)  # 1.5 cats may be there
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
            for handed_over, max_side in ((1, 480), (2, 64)):
                group.create_task(gateway.segment(max_side=max_side))
                await until(becomes(gateway, 0, handed_over))
            assert gateway.value("fcnserve_seconds_handed_over") == cat_s + small_s
            torchserve.released.set()


async def test_time_in_the_line_counts_as_waiting() -> None:
    async with narrow() as gateway:
        async with asyncio.TaskGroup() as group:
            ahead = [group.create_task(gateway.segment()) for _ in range(2)]
            await until(becomes(gateway, 0, 2))
            last = group.create_task(gateway.segment())
            await until(becomes(gateway, 1, 2))
            before = asyncio.get_running_loop().time()
            await until(lambda: asyncio.get_running_loop().time() > before + 0.1)
            gateway.torchserve.released.set()
        assert {task.result().status_code for task in ahead} == {200}
        timing = dict(
            entry.split(";dur=") for entry in last.result().headers["server-timing"].split(", ")
        )
        assert float(timing["wait"]) > 100


async def test_an_image_that_expires_in_the_line_never_reaches_the_worker() -> None:
    async with narrow() as gateway, asyncio.TaskGroup() as group:
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


async def test_an_abandoned_image_leaves_the_line_at_once() -> None:
    async with narrow() as gateway, asyncio.TaskGroup() as group:
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
        gone = {"route": "/v1/segment", "status": "499", "code": ""}
        assert gateway.value("fcnserve_requests_total", **gone) == 1
        assert [line for line in gateway.logs if line["log_level"] == "error"] == []
        gateway.torchserve.released.set()


async def test_an_image_handed_over_is_read_to_its_end_after_its_deadline() -> None:
    async with narrow() as gateway:
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
    async with narrow(attempt_timeout_s=0.1, restart_wait_s=0) as gateway:
        for _ in range(3):
            answer = await gateway.segment()
            assert (answer.status_code, answer.json()["code"]) == (502, "worker_crashed")
            assert "within 0.1 s" in answer.json()["detail"]
        assert shown(gateway) == (0, 0)


async def test_an_image_that_is_put_off_is_sent_again_until_it_is_answered() -> None:
    async with running() as gateway:
        await gateway.ready()
        torchserve = gateway.torchserve
        torchserve.fault = torchserve.deferrals(times=2)
        answer = await gateway.segment()
        assert answer.status_code == 200
        assert [call.options.get("put_off", 0) for call in torchserve.photos] == [0, 1, 2]
        assert gateway.value("fcnserve_upstream_attempts_total", outcome="put_off") == 2
        assert gateway.value("fcnserve_upstream_attempts_total", outcome="answered") == 1
        assert gateway.value("fcnserve_batch_images_count") == 1


async def test_the_worker_is_told_what_an_image_costs() -> None:
    async with running() as gateway:
        await gateway.segment()
        (call,) = gateway.torchserve.photos
        assert call.options["cost_s"] == 153_600 / FAKE_PIXELS_PER_S


def test_processes_share_the_bounds_and_none_is_left_with_nothing() -> None:
    bounds = DispatchLimits.of(workers=4, batch_size=4, seconds=6, exclusive_s=1)
    assert bounds.share(1) == bounds
    assert bounds.share(3) == DispatchLimits(10, 2, 1, 1)
    assert DispatchLimits(2, 6).share(4) == DispatchLimits(1, 1.5)
