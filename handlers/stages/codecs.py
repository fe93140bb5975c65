"""Runs the codecs' calls beside the network: in threads, and in the calling thread while that has
nothing to do but wait for them.

A call that is handed to a thread costs two changes of threads, and each of its returns to Python a
wait for the interpreter's lock: with photos of 0.08 megapixels half as much again as the calls
themselves. So a photo that comes alone is decoded and encoded where it is, and so are all short
calls of a worker that has one processor, where threads would gain nothing. Called by
`handlers.pipeline`, for every batch.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

from handlers.runtime.device import Device, codec_threads

T = TypeVar("T")

SHORT_PIXELS = 500_000
"""An image up to this size is decoded in some 5 ms, and encoded in less."""


class CodecCall(Generic[T]):
    """A call that is made where its result is asked for, which is done once."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call

    def result(self) -> T:
        """Return what the call returns or raise what it raises."""
        return self._call()


class SharedCall(CodecCall[T]):
    """A call that is made once, in the first thread that takes it."""

    def __init__(self, call: Callable[[], T], *, runs_in_caller: bool) -> None:
        super().__init__(call)
        self._runs_in_caller = runs_in_caller
        self._taken = Lock()
        self._future: Future[T] = Future()

    def run(self) -> None:
        """Make the call, unless it is another thread's."""
        if self._taken.acquire(blocking=False):
            try:
                self._future.set_result(self._call())
            except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
                self._future.set_exception(error)

    def result(self) -> T:
        """Wait for the call, or make it here if no thread has taken it."""
        if self._runs_in_caller:
            self.run()
        return self._future.result()


class Codecs:
    """The threads that decode and encode beside a device's network."""

    def __init__(self, device: Device) -> None:
        self._threads = codec_threads(device)
        self._most_threads = device.threads  # at a time: this worker's share of the processors
        # where torch has several threads in the calling thread, they might round labels otherwise
        self._runs_in_caller = device.kind == "cuda" or device.threads == 1
        self._has_one_processor = device.kind == "cpu" and device.threads == 1

    def start(
        self, calls: Iterable[Callable[[], T]], pixels: int, *, caller_waits: bool = True
    ) -> list[CodecCall[T]]:
        """Begin with calls, in their order, on images of up to so many pixels; `caller_waits` where
        the calling thread goes on to wait for their results, and so makes one of them itself.
        """
        if self._has_one_processor and pixels <= SHORT_PIXELS:
            return [CodecCall(call) for call in calls]
        started = [SharedCall(call, runs_in_caller=self._runs_in_caller) for call in calls]
        waiting = 1 if caller_waits and self._runs_in_caller else 0
        for _ in range(min(len(started) - waiting, self._most_threads)):
            self._threads.submit(run_all, started)
        return [*started]


def run_all(calls: Sequence[SharedCall[T]]) -> None:
    """Make those of the calls that no other thread has taken, one after the other."""
    for call in calls:
        call.run()
