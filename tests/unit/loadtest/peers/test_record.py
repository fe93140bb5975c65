"""A record joins the rounds of two runs."""

from dataclasses import replace

import numpy as np
import pytest

from handlers.shared.png import write_indexed
from loadtest.benchmark.strategies import OURS
from loadtest.measure.slices import Slice
from loadtest.peers.catalogue import OURSELVES, PEERS, Entry
from loadtest.peers.record import OtherTermsError, Record, record_of
from loadtest.peers.run import (
    EntryResult,
)

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


@pytest.fixture
def record() -> Record:
    """Ours makes twice the masks of each other; theirs change pixels where they pad."""
    other = next(peer for peer in PEERS if peer.name == "mosec")
    entries = [Entry(OURSELVES, OURS), Entry(other, "pad to largest", batch=8, wait_ms=5)]
    ours = EntryResult([replace(SLICE, images=8)] * 2, [SLICE] * 2, 0, 100, REFERENCE)
    theirs = EntryResult([SLICE] * 2, [SLICE] * 2, 25, 100, [REFERENCE[0], mask([0, 0])])
    found = dict(zip([entry.name for entry in entries], [ours, theirs], strict=True))
    return record_of(entries, found, {"model": "net", "set_name": "mix", "rounds": 2})


def test_reference_answers_are_compared_with_ours(record: Record) -> None:
    assert [one.same_as_ours for one in record.results.values()] == [2, 1]


def test_rounds_are_added_to_those_of_a_run_on_the_same_terms(record: Record) -> None:
    joined = record.joined(record)
    assert joined.facts["rounds"] == 4
    assert all(len(one.concurrent) == 4 for one in joined.results.values())
    with pytest.raises(OtherTermsError):
        record.joined(Record({**record.facts, "set_name": "one"}, record.results))
