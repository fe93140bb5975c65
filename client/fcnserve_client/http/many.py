"""Many photos with several requests at a time, in order, with a bounded number in memory.

In: photos, and what segments one. Out: an iterator of pairs, for threads and for asyncio. Called by
`fcnserve_client.http.client` and `fcnserve_client.http.async_client`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from threading import Semaphore, Thread
from typing import Generic, Literal, Self, TypeVar, cast

from fcnserve_client.photos import Photo
from fcnserve_client.segmentation import Segmentation

P = TypeVar("P", bound=Photo)
R = TypeVar("R", bound=Segmentation | Exception)

OnError = Literal["raise", "return"]
PREFETCH = 2
"""Photos taken ahead of the one that is awaited, for each request at a time."""


class SegmentMany(Generic[P, R]):
    """An iterator of (photo, result) in the order of the photos.

    It goes on after an exception: where one photo failed, the next `next()` gives the photo after
    it, and after Ctrl-C the photo that was awaited. `photos` is read as results are taken, at most
    `2 * parallel` ahead. `close()`, or the end of a `with` block, drops what has not begun.
    """

    def __init__(
        self,
        photos: Iterable[P],
        segment: Callable[[P], Segmentation],
        parallel: int,
        on_error: OnError,
    ) -> None:
        self._photos = iter(photos)
        self._segment = segment
        self._on_error = on_error
        self._prefetch = PREFETCH * checked(parallel)
        self._waiting: deque[tuple[P, Future[Segmentation]]] = deque()
        self._permits = Semaphore(parallel)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[P, R]:
        """Return the next photo with its result; raises what segmenting it raised."""
        while len(self._waiting) < self._prefetch:
            try:
                photo = next(self._photos)
            except StopIteration:
                break
            self._waiting.append((photo, _started(self._segment, photo, self._permits)))
        if not self._waiting:
            self.close()
            raise StopIteration
        photo, future = self._waiting[0]
        error = future.exception()  # waits; interrupted, the photo keeps its index
        self._waiting.popleft()
        return photo, cast("R", outcome(photo, error or future.result(), self._on_error))

    def close(self) -> None:
        """Drop the photos that have not begun; those that have end by themselves."""
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        self._photos = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_permits"):  # not where the constructor raised
            self.close()


class AsyncSegmentMany(Generic[P, R]):
    """`SegmentMany` for `async for`; `aclose()`, or leaving an `async with`, cancels the rest."""

    def __init__(
        self,
        photos: Iterable[P],
        segment: Callable[[P], Awaitable[Segmentation]],
        parallel: int,
        on_error: OnError,
    ) -> None:
        self._photos = iter(photos)
        self._segment = segment
        self._on_error = on_error
        self._prefetch = PREFETCH * checked(parallel)
        self._waiting: deque[tuple[P, asyncio.Task[Segmentation]]] = deque()
        self._permits = asyncio.Semaphore(parallel)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[P, R]:
        """Return the next photo with its result; raises what segmenting it raised."""
        while len(self._waiting) < self._prefetch:
            try:
                photo = next(self._photos)
            except StopIteration:
                break
            task = asyncio.create_task(self._permitted(photo))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._waiting.append((photo, task))
        if not self._waiting:
            raise StopAsyncIteration
        photo, task = self._waiting[0]
        await asyncio.wait([task])  # cancelled, the photo keeps its index
        self._waiting.popleft()
        return photo, cast("R", outcome(photo, task.exception() or task.result(), self._on_error))

    async def aclose(self) -> None:
        """Cancel the photos that are not done."""
        tasks = [task for _, task in self._waiting]
        self._waiting.clear()
        self._photos = iter(())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _permitted(self, photo: P) -> Segmentation:
        async with self._permits:
            return await self._segment(photo)


def _started(
    segment: Callable[[P], Segmentation], photo: P, permits: Semaphore
) -> Future[Segmentation]:
    """Segment a photo in a thread once there is a permit.

    The thread is a daemon: after Ctrl-C a program does not wait for answers that nothing reads.
    """
    future = Future[Segmentation]()

    def run() -> None:
        with permits:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(segment(photo))
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                future.set_exception(error)

    Thread(target=run, name="fcnserve-client", daemon=True).start()
    return future


def checked(parallel: int) -> int:
    if parallel < 1:
        raise ValueError(f"parallel is {parallel}; it is 1 or more")
    return parallel


def outcome(
    photo: Photo, found: Segmentation | BaseException, on_error: OnError
) -> Segmentation | Exception:
    """Return a result, or an error where that is asked for; raises it otherwise."""
    if isinstance(found, Segmentation) or (on_error == "return" and isinstance(found, Exception)):
        return found
    if not isinstance(photo, bytes | bytearray | memoryview):
        found.add_note(f"photo: {photo!r}")
    raise found
