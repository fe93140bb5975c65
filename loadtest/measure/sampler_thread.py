"""Runs a sampler in a thread beside a run. Called by the two samplers of this room."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def sampler_thread(name: str, take_samples: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run `take_samples` until the block is left; it returns once the event is set."""
    stopping = threading.Event()
    thread = threading.Thread(target=take_samples, args=(stopping,), name=name)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
