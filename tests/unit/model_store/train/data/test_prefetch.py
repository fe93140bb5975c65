"""Batches are prefetched in order."""

from itertools import islice

import pytest

from model_store.tools.train.data.prefetch import prefetched


def test_batches_come_in_order_and_an_error_at_its_step() -> None:
    def make(step: int) -> int:
        if step == 5:
            raise ValueError("five")
        return step * step

    batches = prefetched(make, range(2, 9))
    assert list(islice(batches, 3)) == [(2, 4), (3, 9), (4, 16)]
    with pytest.raises(ValueError, match="five"):
        next(batches)
