"""Many photos: in order, several at a time, few in memory, and on after a failure."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcnserve_client import Segmentation
from fcnserve_client.http.many import PREFETCH, AsyncSegmentMany, SegmentMany
from tests.support.polling import wait_until
from tests.unit.client.test_segmentation import MODEL

PARALLEL = 3
PATIENCE_S = 20.0


class FailedError(Exception):
    """A photo's failure."""


class Work:
    """Segments "photos", which are numbers; odd ones wait until a later one is done."""

    def __init__(self, failing: tuple[str, ...] = ()) -> None:
        self.failing = failing
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.done: list[str] = []
        self.taken: list[str] = []
        self.overtaken = threading.Event()

    def photos(self, count: int) -> Iterator[str]:
        for number in range(count):
            self.taken.append(str(number))
            yield str(number)

    def segment(self, photo: str) -> Segmentation:
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        if photo == "0":
            self.overtaken.wait(PATIENCE_S)
        with self.lock:
            self.at_once -= 1
            self.done.append(photo)
        if photo == str(PARALLEL):
            self.overtaken.set()
        if photo in self.failing:
            raise FailedError(photo)
        return Segmentation(np.full((1, 1), int(photo), np.uint8), MODEL)

    async def segment_in_asyncio(self, photo: str) -> Segmentation:
        return await asyncio.to_thread(self.segment, photo)


def many(work: Work, count: int, on_error: Any = "raise") -> SegmentMany[str, Any]:
    return SegmentMany(work.photos(count), work.segment, PARALLEL, on_error)


def many_in_asyncio(work: Work, count: int, on_error: Any = "raise") -> AsyncSegmentMany[str, Any]:
    return AsyncSegmentMany(work.photos(count), work.segment_in_asyncio, PARALLEL, on_error)


class Iterated:
    """Either kind of iterator, as one of asyncio."""

    def __init__(self, iterator: SegmentMany[str, Any] | AsyncSegmentMany[str, Any]) -> None:
        self.iterator = iterator

    def __aiter__(self) -> AsyncIterator[tuple[str, Any]]:
        return self

    async def __anext__(self) -> tuple[str, Any]:
        if isinstance(self.iterator, AsyncSegmentMany):
            return await anext(self.iterator)
        found = await asyncio.to_thread(next, self.iterator, None)
        if found is None:
            raise StopAsyncIteration
        return found


both = pytest.mark.parametrize("make", [many, many_in_asyncio], ids=["threads", "asyncio"])


@both
async def test_results_have_the_order_of_the_photos_whichever_is_done_first(make: Any) -> None:
    work = Work()
    found = [(photo, int(seg.labels[0, 0])) async for photo, seg in Iterated(make(work, 20))]
    assert found == [(str(number), number) for number in range(20)]
    assert work.done[0] != "0"
    assert 1 < work.most_at_once <= PARALLEL


@both
async def test_photos_are_taken_as_results_are(make: Any) -> None:
    work = Work()
    iterator = make(work, 10**9)
    results = Iterated(iterator)
    for number in range(5):
        assert (await anext(results))[0] == str(number)
        assert len(work.taken) == number + PREFETCH * PARALLEL
    if isinstance(iterator, SegmentMany):
        iterator.close()
    else:
        await iterator.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(results)
    assert len(work.done) <= len(work.taken) == 4 + PREFETCH * PARALLEL


async def test_no_more_coroutines_than_asked_for_run_at_once() -> None:
    begun: list[str] = []
    released = asyncio.Event()

    async def segment(photo: str) -> Segmentation:
        begun.append(photo)
        await released.wait()
        return Segmentation(np.zeros((1, 1), np.uint8), MODEL)

    iterator: Any = AsyncSegmentMany(Work().photos(20), segment, PARALLEL, "raise")
    first = asyncio.create_task(anext(iterator))
    for _ in range(100):  # turns of the loop: more than all tasks need to begin
        await asyncio.sleep(0)
    assert begun == ["0", "1", "2"]
    released.set()
    await first
    await iterator.aclose()


@both
async def test_iterating_goes_on_after_a_failure(make: Any) -> None:
    work = Work(failing=("2", "5"))
    results = Iterated(make(work, 8))
    found: list[str] = []
    failures: list[FailedError] = []
    while len(found) + len(failures) < 8:
        try:
            async for photo, _ in results:
                found.append(photo)
        except FailedError as error:
            failures.append(error)
    assert found == ["0", "1", "3", "4", "6", "7"]
    assert [str(error) for error in failures] == ["2", "5"]
    assert failures[0].__notes__ == ["photo: '2'"]
    assert sorted(work.done) == sorted(work.taken)


@both
async def test_a_failure_is_the_photos_result_where_that_is_asked_for(make: Any) -> None:
    work = Work(failing=("2",))
    found = [(photo, seg) async for photo, seg in Iterated(make(work, 5, "return"))]
    assert [photo for photo, _ in found] == ["0", "1", "2", "3", "4"]
    assert [isinstance(seg, FailedError) for _, seg in found] == [False, False, True, False, False]


def test_none_at_a_time_is_refused() -> None:
    with pytest.raises(ValueError, match="parallel is 0"):
        SegmentMany([], Work().segment, 0, "raise")
    with pytest.raises(ValueError, match="parallel is 0"):
        AsyncSegmentMany([], Work().segment_in_asyncio, 0, "raise")


def test_an_iterator_that_is_dropped_leaves_no_thread() -> None:
    work = Work()
    before = threading.active_count()
    next(many(work, 100))
    wait_until(lambda: threading.active_count() <= before, PATIENCE_S)
    assert len(work.done) < 100


HANGING = """
import signal
import subprocess
import sys
import signal, threading
from fcnserve_client.http.many import SegmentMany

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job

def segment(photo):
    print("begun", flush=True)
    threading.Event().wait()  # an answer that does not come

for _ in SegmentMany(range(100), segment, 2, "raise"):
    pass
"""


def test_ctrl_c_ends_a_program_without_waiting_for_answers() -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", HANGING],
        cwd=Path(__file__).parents[3] / "client",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with running:
        assert running.stdout is not None
        assert [running.stdout.readline() for _ in range(2)] == [b"begun\n"] * 2
        running.send_signal(signal.SIGINT)
        try:
            assert running.wait(PATIENCE_S) == -signal.SIGINT
        finally:
            running.kill()
