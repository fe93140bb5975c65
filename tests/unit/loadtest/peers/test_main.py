"""The selection of servers."""

from loadtest.peers.__main__ import select_entries
from loadtest.peers.catalogue import OUR_NAME


def test_ours_is_in_every_comparison() -> None:
    assert {entry.peer.name for entry in select_entries(["mosec"])} == {OUR_NAME, "mosec"}
