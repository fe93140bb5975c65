"""Work beside a block runs while the block does, and has ended after it."""

import asyncio

import pytest

from service.tasks.background import in_background


async def test_work_ends_with_its_block_however_that_ends() -> None:
    runs, ended = asyncio.Event(), []

    async def work() -> None:
        try:
            runs.set()
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    async def block() -> None:
        async with in_background(work()):
            await runs.wait()
            raise ValueError("of the block")

    with pytest.raises(ValueError, match="of the block"):
        await block()
    assert ended == [1]
