"""Concurrent clients send complete rounds of photos."""

from loadtest.traffic.concurrent_clients import complete_rounds


def test_clients_send_complete_rounds() -> None:
    assert list(complete_rounds(3, 0)) == [0, 1, 2]
