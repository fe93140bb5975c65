"""Virtual time: it passes only while all wait, and then at once."""

import asyncio
import time

import pytest

from loadtest.simulation.virtual_time import WaitsForeverError, run


def test_a_day_passes_at_once_and_all_clocks_show_it() -> None:
    async def day() -> tuple[float, float]:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time(), time.monotonic()

    before = time.monotonic
    assert run(day()) == pytest.approx((86_400, 86_400))
    assert time.monotonic is before


def test_timers_run_in_the_order_of_their_times() -> None:
    seen: list[float] = []

    async def note(seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append(asyncio.get_running_loop().time())

    async def notes() -> None:
        await asyncio.gather(*map(note, (3, 1, 2, 1)))

    run(notes())
    assert seen == pytest.approx([1, 1, 2, 3])


def test_what_never_happens_is_an_error() -> None:
    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(WaitsForeverError):
        run(waits())
