"""The catalogue of servers is complete."""

import pytest

from loadtest.benchmark.strategies import ONE_BY_ONE, OURS, PAD_TO_LARGEST
from loadtest.peers import install
from loadtest.peers.catalogue import ENTRIES, OURSELVES, PEERS, Peer
from loadtest.peers.servers.setup import PLAIN
from service.settings import ROOT


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_server_has_a_program_and_pinned_requirements(peer: Peer) -> None:
    assert (ROOT / "loadtest" / "peers" / "servers" / f"on_{peer.name}.py").exists()
    lines = install.requirements_of(peer.name).splitlines()
    assert all("==" in line for line in lines)
    assert any(line.lower().startswith(f"{peer.package}==") for line in lines)


def test_rows_have_distinct_names_and_include_ours() -> None:
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    assert [entry.grouping for entry in ENTRIES if entry.peer is OURSELVES] == [OURS]
    others = {entry.grouping for entry in ENTRIES if entry.peer is not OURSELVES}
    assert others == {ONE_BY_ONE, PAD_TO_LARGEST, PLAIN}
    assert {e.peer.name for e in ENTRIES} == {peer.name for peer in (OURSELVES, *PEERS)}
