"""Batches are made in a thread of their own while the network learns from those before."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

Made = TypeVar("Made")

# so many are ready or being made
AHEAD = 3


def made_ahead(make: Callable[[int], Made], steps: range) -> Iterator[tuple[int, Made]]:
    """Give each step with what `make` makes for it, in order; raises what `make` raises."""
    left = iter(steps)
    under_way: deque[tuple[int, Future[Made]]] = deque()
    # one torch thread: OpenMP teams of several threads get into each other's way
    with ThreadPoolExecutor(1, "examples", torch.set_num_threads, (1,)) as pool:
        try:
            while True:
                under_way.extend(
                    (step, pool.submit(make, step)) for step in islice(left, AHEAD - len(under_way))
                )
                if not under_way:
                    return
                step, made = under_way.popleft()
                yield step, made.result()
        finally:
            for _, made in under_way:
                made.cancel()
