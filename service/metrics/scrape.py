"""The text of `/metrics`: made in a thread, and seldom enough to leave the loop to the photos.

To render it takes 10 ms, so a hundred scrapes a second would take all of one processor. Scrapes
that come together share one rendering, which begins after they have come: its figures are never
older than a scrape. Made by `service.app`; `service.api.routes` sends the text.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry, generate_latest

# of a processor's time that rendering may take; the next one waits as long as that asks for, or
# for MOST_PAUSE_S: Prometheus gives up after 10 s
MOST_SHARE = 0.05
MOST_PAUSE_S = 1.0


class Scrape:
    """Renders one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._rendering = asyncio.Lock()
        self._next: asyncio.Task[bytes] | None = None  # which has not begun
        self._free_at = 0.0
        self._thread = ThreadPoolExecutor(1, "metrics")  # the others may all be rendering photos

    async def text(self) -> bytes:
        """Return all figures in Prometheus' format."""
        if self._next is None:
            self._next = asyncio.create_task(self._render())
        return await asyncio.shield(self._next)  # others may wait for it, too

    async def _render(self) -> bytes:
        async with self._rendering:
            await asyncio.sleep(max(0.0, self._free_at - time.monotonic()))
            self._next = None
            loop = asyncio.get_running_loop()
            text, taken_s = await loop.run_in_executor(self._thread, self._text)
            self._free_at = time.monotonic() + min(MOST_PAUSE_S, taken_s / MOST_SHARE)
            return text

    def _text(self) -> tuple[bytes, float]:
        """Render; return the processor's time that it took as well. What passes while others have
        the processor, or the disk is waited for, is not paid for.
        """
        began = time.thread_time()
        text = generate_latest(self._registry)
        return text, time.thread_time() - began
