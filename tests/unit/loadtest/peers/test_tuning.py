"""The configurations that a tuning tries."""

import pytest

from loadtest.peers.catalogue import ENTRIES, OURSELVES, Entry
from loadtest.peers.tuning import HEADINGS as TUNING_HEADINGS
from loadtest.peers.tuning import TuningResult, cells_of, variants


@pytest.mark.parametrize(
    "entry", [e for e in ENTRIES if e.peer is not OURSELVES], ids=lambda entry: entry.name
)
def test_a_tuning_begins_with_the_compared_configuration_and_changes_only_that(
    entry: Entry,
) -> None:
    tuned = list(variants(entry))
    assert tuned[0] == entry
    assert all((one.peer, one.grouping) == (entry.peer, entry.grouping) for one in tuned)
    assert len({str(one.configuration()) for one in tuned}) == len(tuned)


def test_a_server_that_cannot_batch_keeps_a_batch_of_one() -> None:
    (fastapi,) = (entry for entry in ENTRIES if entry.peer.name == "fastapi")
    assert {one.batch for one in variants(fastapi)} == {1}


def test_failed_requests_are_in_the_row() -> None:
    setup = next(entry for entry in ENTRIES if entry.peer is not OURSELVES).configuration()
    cells = cells_of(TuningResult("mosec", "one by one", setup, 50.04, 400.2, 3))
    assert len(cells) == len(TUNING_HEADINGS)
    assert cells[-2:] == ("50.0 (3 failed)", "400")
