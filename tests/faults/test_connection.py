"""The network between gateway and TorchServe breaks."""

import time
from collections.abc import Iterator

import pytest

from tests.faults.scenario import Scenario, StartService
from tests.faults.service import Service
from tests.faults.tcp_proxy import TcpProxy

REFUSED_S, DROPPED_S = 3.0, 5.0


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    with TcpProxy() as proxy:
        yield proxy


def start_behind(proxy: TcpProxy, start: StartService) -> Service:
    """Start a service whose gateway reaches TorchServe through the proxy."""
    return start(
        workers=2,
        FCNSERVE_WORKER_PORT=str(proxy.target_port),
        FCNSERVE_TORCHSERVE_URL=f"http://127.0.0.1:{proxy.port}",
    )


def test_connections_are_reset_and_refused(
    start: StartService, scenario: Scenario, proxy: TcpProxy
) -> None:
    def fault() -> None:
        proxy.disconnect()
        time.sleep(REFUSED_S)  # how long the fault lasts
        proxy.connect()

    service = start_behind(proxy, start)
    counts = scenario(service, "gateway to TorchServe: connections reset, 3 s refused", fault)
    assert counts.correct == counts.sent


def test_connections_drop_all_data(
    start: StartService, scenario: Scenario, proxy: TcpProxy
) -> None:
    def fault() -> None:
        proxy.drop_data()
        time.sleep(DROPPED_S)  # how long the fault lasts
        proxy.disconnect()
        proxy.connect()

    service = start_behind(proxy, start)
    counts = scenario(service, "gateway to TorchServe: data dropped for 5 s, then reset", fault)
    assert counts.correct == counts.sent
