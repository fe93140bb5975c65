"""The report of a comparison."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handlers.shared.png import write_indexed
from loadtest.benchmark.strategies import OURS
from loadtest.measure.slices import Slice
from loadtest.peers.catalogue import OUR_NAME, OURSELVES, PEERS, Entry
from loadtest.peers.page import HEADINGS, markdown, p99_ms, save
from loadtest.peers.record import Record, record_of
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


def test_a_page_has_the_ratio_to_ours_and_the_changed_pixels(record: Record) -> None:
    (line,) = (each for each in markdown(record).splitlines() if each.startswith("| mosec"))
    cells = dict(zip(HEADINGS, [cell.strip() for cell in line.strip("|").split("|")], strict=True))
    assert cells["ours ÷ it"] == "2.00"
    assert cells["px changed %"] == "25.000"
    assert cells["single = ours"] == "1/2"


def test_a_page_states_where_ours_is_behind(record: Record) -> None:
    page = markdown(record)
    assert "masks/s: ahead of" in page
    slow = replace(SLICE, latencies_ms=((0, 90.0), (1, 95.0)))
    ours = f"{OUR_NAME}: {OURS}"
    behind = {**record.results, ours: replace(record.results[ours], single=[slow] * 2)}
    assert "latency of a single photo (p50): behind" in markdown(Record(record.facts, behind))


def test_p99_is_computed_per_slice() -> None:
    assert p99_ms(SLICE) == 40


def test_a_record_is_read_as_it_was_saved(record: Record, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = save(record, tmp_path / "peers")
    assert (tmp_path / "peers.md").read_text() == page
    assert (tmp_path / "peers.png").stat().st_size > 0
    again = Record.read(tmp_path / "peers.json")
    assert markdown(again) == page
