"""Stamps become hops; a request that others ran beside does not count."""

from pathlib import Path

import pytest

from loadtest.front.hops import HOPS, RECEIVED, SENT, TOTAL, hops_of, split_requests
from loadtest.front.stamped_gateway import CLIENT, TORCHSERVE, got_from, wrote_to
from loadtest.front.stamped_worker import ANSWERED, BEGINS, ENDS, GOT
from loadtest.front.stamps import open_stamps, read_stamps

WAY = (
    SENT,
    got_from(CLIENT),
    got_from(CLIENT),
    wrote_to(TORCHSERVE),
    GOT,
    BEGINS,
    ENDS,
    ANSWERED,
    got_from(TORCHSERVE),
    wrote_to(CLIENT),
    RECEIVED,
)


def stamps(*events: str) -> list[tuple[int, str]]:
    return [(1_000_000 * at, event) for at, event in enumerate(events)]


def test_the_hops_add_up_to_the_way() -> None:
    times = {hop.name: hop.ms for hop in hops_of(split_requests(stamps(*WAY, *WAY)))}
    assert times.keys() == {*HOPS, TOTAL}
    assert list(times[TOTAL]) == [10.0, 10.0]
    assert sum(ms[0] for name, ms in times.items() if name != TOTAL) == 10.0
    assert list(times["gateway, body arrives"]) == [1.0, 1.0]


def test_a_request_that_a_probe_ran_beside_is_left_out() -> None:
    beside = [*WAY[:4], GOT, BEGINS, ENDS, ANSWERED, *WAY[4:]]
    assert len(split_requests(stamps(*beside, *WAY))) == 1


def test_what_comes_before_the_first_request_is_left_out() -> None:
    assert len(split_requests(stamps(GOT, BEGINS, *WAY))) == 1


@pytest.mark.parametrize("missing", sorted(set(WAY) - {SENT}))
def test_a_request_without_all_stamps_is_left_out(missing: str) -> None:
    assert not split_requests(stamps(*(event for event in WAY if event != missing)))


def test_stamps_of_several_writers_are_read_by_time(tmp_path: Path) -> None:
    one, other = (open_stamps(str(tmp_path / "stamps")) for _ in range(2))
    one("first event")
    other("second event")
    one("third event")
    events = [event for _, event in read_stamps(tmp_path / "stamps")]
    assert events == ["first event", "second event", "third event"]
