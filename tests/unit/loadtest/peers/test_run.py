"""A run compares answers with reference answers, and measures disturbed slices again."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from handlers.shared.png import write_indexed
from loadtest.benchmark.strategies import PAD_TO_LARGEST
from loadtest.measure.slices import Slice
from loadtest.peers.catalogue import ENTRIES, OURSELVES
from loadtest.peers.run import (
    PADDED_AT_ONCE,
    compare,
    group_entries,
    quietest,
    reference_answers,
)
from loadtest.traffic.concurrent_clients import ClientResults

PALETTE = bytes(range(9))

SLICE = Slice(
    images=4,
    seconds=1,
    cpu_s={"server": 0.2},
    valid_pixels=0,
    latencies_ms=((0, 10.0), (1, 20.0), (0, 10.0), (1, 40.0)),
    peak_bytes={"server": 5_000_000},
)


def mask(*rows: list[int]) -> bytes:
    return write_indexed(np.array(rows, np.uint8), PALETTE)


REFERENCE = [mask([0, 1], [2, 2]), mask([1, 1])]


def test_pixels_that_differ_from_the_reference_are_counted_per_mask() -> None:
    changed = mask([0, 1], [2, 1])
    answers = {0: Counter({REFERENCE[0]: 3, changed: 2}), 1: Counter({REFERENCE[1]: 5})}
    assert compare(answers, REFERENCE) == (2, 2, 5 * 4 + 5 * 2)


def test_a_mask_that_differs_in_its_encoding_alone_changes_no_pixel() -> None:
    repacked = REFERENCE[1] + b"\0"
    assert compare({1: Counter({repacked: 1})}, REFERENCE) == (1, 0, 2)


def test_a_missing_reference_answer_ends_the_comparison() -> None:
    complete = ClientResults(
        answers={index: Counter({one: 1}) for index, one in enumerate(REFERENCE)}
    )
    assert reference_answers(complete, 2) == REFERENCE
    with pytest.raises(ValueError, match="1 of 2 single photos"):
        reference_answers(ClientResults(answers={0: complete.answers[0]}, failed=1), 2)


def test_servers_that_pad_run_a_few_at_a_time_and_all_others_with_ours() -> None:
    first, *padded = group_entries(ENTRIES)
    assert OURSELVES in [entry.peer for entry in first]
    assert not [entry for entry in first if entry.grouping == PAD_TO_LARGEST]
    assert all(0 < len(group) <= PADDED_AT_ONCE for group in padded)
    assert sorted(e.name for group in (first, *padded) for e in group) == sorted(
        e.name for e in ENTRIES
    )


def test_a_disturbed_slice_is_measured_again_and_the_quietest_counts() -> None:
    shares = iter([0.4, 0.2, 0.3, 0.01])

    def measure() -> tuple[Slice, ClientResults]:
        return replace(SLICE, other_programs_share=next(shares)), ClientResults()

    assert quietest(measure)[0].other_programs_share == 0.2
    assert quietest(measure)[0].other_programs_share == 0.01
