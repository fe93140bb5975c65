"""The network between gateway and TorchServe breaks, as networks do."""

import time
from collections.abc import Iterator

import pytest

from tests.faults.scenario import StartHouse, Strike
from tests.faults.service import House
from tests.faults.tcp_proxy import Cable

REFUSING_S, SWALLOWING_S = 3.0, 5.0


@pytest.fixture
def cable() -> Iterator[Cable]:
    with Cable() as cable:
        yield cable


def start_with(cable: Cable, start: StartHouse) -> House:
    """Start a house whose gateway reaches TorchServe through the cable."""
    return start(
        workers=2,
        FCNSERVE_WORKER_PORT=str(cable.target_port),
        FCNSERVE_TORCHSERVE_URL=f"http://127.0.0.1:{cable.port}",
    )


def test_connections_are_reset_and_refused(start: StartHouse, strike: Strike, cable: Cable) -> None:
    def fault() -> None:
        cable.pull()
        time.sleep(REFUSING_S)  # how long the fault lasts
        cable.plug()

    house = start_with(cable, start)
    tally = strike(house, "gateway to TorchServe: connections reset, 3 s refused", fault)
    assert tally.right == tally.sent


def test_connections_swallow_everything(start: StartHouse, strike: Strike, cable: Cable) -> None:
    def fault() -> None:
        cable.swallow()
        time.sleep(SWALLOWING_S)  # how long the fault lasts
        cable.pull()
        cable.plug()

    house = start_with(cable, start)
    tally = strike(house, "gateway to TorchServe: a black hole for 5 s, then reset", fault)
    assert tally.right == tally.sent
