"""The text of `/metrics`: rendered in a thread, at a bounded share of a processor's time.

A rendering takes 10 ms, so a hundred scrapes a second would take all of one processor. Concurrent
scrapes share one rendering, which begins after they have arrived: its values are never older than a
scrape. A registry goes in, text comes out. Made by `service.app`; `service.api.routes` sends the
text.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry, generate_latest

# the share of a processor's time that rendering may take; the next rendering waits for it, for
# MAX_PAUSE_S at most: Prometheus gives up after 10 s
MAX_SHARE = 0.05
MAX_PAUSE_S = 1.0


class Scrape:
    """Renders one registry."""

    def __init__(self, registry: CollectorRegistry, delay_s: float = 0.0) -> None:
        """Take a registry, and how long its numbers may be on their way to it."""
        self._registry = registry
        self._delay_s = delay_s
        self._rendering = asyncio.Lock()
        self._next: asyncio.Task[bytes] | None = None  # a rendering that has not begun
        self._next_at = 0.0
        self._thread = ThreadPoolExecutor(1, "metrics")  # all others may be busy with photos

    async def text(self) -> bytes:
        """Return all metrics in Prometheus' format."""
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if self._next is None:
            self._next = asyncio.create_task(self._render())
        return await asyncio.shield(self._next)  # other scrapes may wait for it, too

    async def _render(self) -> bytes:
        async with self._rendering:
            await asyncio.sleep(max(0.0, self._next_at - time.monotonic()))
            self._next = None
            loop = asyncio.get_running_loop()
            text, taken_s = await loop.run_in_executor(self._thread, self._text)
            self._next_at = time.monotonic() + min(MAX_PAUSE_S, taken_s / MAX_SHARE)
            return text

    def _text(self) -> tuple[bytes, float]:
        """Render; return the text, and the processor time that it took: time spent waiting for the
        processor or the disk does not count.
        """
        began = time.thread_time()
        text = generate_latest(self._registry)
        return text, time.thread_time() - began
