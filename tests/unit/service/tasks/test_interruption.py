"""A block ends where it waits, with the exception that interrupts it, and nothing else ends."""

import asyncio
import gc
import math
import weakref
from contextlib import suppress
from typing import Any

import pytest

from service.tasks.interruption import Interruption


class InterruptionError(Exception):
    """What interrupts a block."""


class Block(Interruption):
    """A block that is overdue at a time."""

    def __init__(self, due_s: float = math.inf) -> None:
        super().__init__(due_s)

    def overdue(self) -> Exception:
        return InterruptionError("overdue")


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def ended_by(block: Interruption, *, waits_s: float = 10.0) -> None:
    with block:
        await asyncio.sleep(waits_s)


async def begun(coroutine: Any) -> "asyncio.Task[None]":
    """Start a task, and return once it waits."""
    task: asyncio.Task[None] = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    return task


async def test_a_block_ends_with_the_exception_that_interrupts_it() -> None:
    block = Block()
    task = await begun(ended_by(block))
    block.interrupt(InterruptionError("first"))
    block.interrupt(InterruptionError("second"))
    with pytest.raises(InterruptionError, match="first"):
        await task


@pytest.mark.parametrize("in_s", [-1.0, 0.0, 0.02], ids=["past", "now", "soon"])
async def test_a_block_ends_when_it_is_overdue(in_s: float) -> None:
    due_s = now_s() + in_s
    with pytest.raises(InterruptionError, match="overdue"):
        await ended_by(Block(due_s))
    assert now_s() >= due_s


async def test_a_block_with_a_later_time_ends_later() -> None:
    block = Block(now_s() + 0.01)
    task = await begun(ended_by(block))
    block.due_s = later_s = now_s() + 0.05
    with pytest.raises(InterruptionError):
        await task
    assert now_s() >= later_s


async def test_a_block_without_a_time_any_more_goes_on() -> None:
    block = Block(now_s() + 0.01)
    task = await begun(ended_by(block, waits_s=0.05))
    block.due_s = math.inf
    await task


async def test_nothing_happens_after_the_block() -> None:
    block = Block(now_s() + 0.01)
    with block:
        pass
    block.interrupt(InterruptionError())
    await asyncio.sleep(0.02)


async def test_an_exception_of_the_block_itself_passes() -> None:
    async def fail(block: Block) -> None:
        with block:
            try:
                await asyncio.sleep(10)
            finally:
                raise KeyError("the block's own")

    block = Block()
    task = await begun(fail(block))
    block.interrupt(InterruptionError())
    with pytest.raises(KeyError):
        await task


async def test_a_task_that_is_cancelled_elsewhere_too_stays_cancelled() -> None:
    block = Block()
    task = await begun(ended_by(block))
    block.interrupt(InterruptionError())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("first", ["inner", "outer"])
async def test_of_two_interrupted_blocks_the_outer_ends_the_work(first: str) -> None:
    async def nested(outer: Block, inner: Block) -> None:
        with outer:
            await ended_by(inner)

    blocks = {"outer": Block(), "inner": Block()}
    task = await begun(nested(**blocks))
    second = "outer" if first == "inner" else "inner"
    for name in (first, second):
        blocks[name].interrupt(InterruptionError(name))
    with pytest.raises(InterruptionError, match="outer"):
        await task


async def test_a_timeout_around_a_block_is_still_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ended_by(Block())


async def test_a_task_goes_on_after_an_interrupted_block() -> None:
    async def go_on() -> str:
        with pytest.raises(InterruptionError):
            await ended_by(Block(0.0))
        await asyncio.sleep(0)
        return "done"

    assert await asyncio.create_task(go_on()) == "done"


class Body:
    """What a frame of an interrupted block refers to."""


async def test_what_an_interrupted_block_had_in_memory_is_freed_at_once() -> None:
    found: list[weakref.ref[Body]] = []

    async def hold() -> None:
        with Block(0.0):
            body = Body()
            found.append(weakref.ref(body))
            await asyncio.sleep(10)

    async def serve() -> None:
        with suppress(InterruptionError):
            await hold()

    gc.disable()
    try:
        await asyncio.create_task(serve())
        assert found[0]() is None
    finally:
        gc.enable()
