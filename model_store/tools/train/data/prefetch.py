"""Batches are made in a thread while the network trains on earlier ones.

Called by `model_store.tools.train.run`.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

Made = TypeVar("Made")

# batches that are ready or being made
PREFETCHED = 3


def prefetched(make: Callable[[int], Made], steps: range) -> Iterator[tuple[int, Made]]:
    """Give each step with the result of `make`, in order; raises what `make` raises."""
    remaining = iter(steps)
    pending: deque[tuple[int, Future[Made]]] = deque()
    # one torch thread: OpenMP teams of several threads slow each other down
    with ThreadPoolExecutor(1, "examples", torch.set_num_threads, (1,)) as pool:
        try:
            while True:
                pending.extend(
                    (step, pool.submit(make, step))
                    for step in islice(remaining, PREFETCHED - len(pending))
                )
                if not pending:
                    return
                step, made = pending.popleft()
                yield step, made.result()
        finally:
            for _, made in pending:
                made.cancel()
