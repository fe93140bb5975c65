"""Several gateways behind the load balancer, replaced under load as docs/operations.md says."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from tests.stack.clients import ConcurrentClients
from tests.stack.compose import Stack
from tests.support.polling import wait_until

SERVICES = ("gateway", "worker", "ingress", "prometheus")
REPLICAS = {"gateway": 2, "worker": 2, "torchserve": 2, "prometheus": 1}
ANSWERED_S = 120.0
SCRAPED_S = 90.0


@pytest.fixture(scope="module")
def replicas(
    engine: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """Two gateways and two workers with a thread each; removed at the end."""
    folder, project = tmp_path_factory.mktemp("replicas"), f"fcnserve-replicas-{os.getpid()}"
    started = Stack(folder, project, files=["docker-compose.ingress.yml"])
    started.environment |= {
        "GATEWAY_REPLICAS": "2",
        "WORKER_REPLICAS": "2",
        "FCNSERVE_WORKERS": "1",
        "FCNSERVE_THREADS": "1",
    }
    try:
        started.compose("build", *SERVICES)
        started.compose("up", "-d", *SERVICES)
        started.wait_until_ready()
        started.up(*SERVICES)
        yield started
    finally:
        started.down()


def test_prometheus_finds_every_replica(replicas: Stack) -> None:
    def answering() -> Counter[str]:
        return Counter(series["metric"]["job"] for series in replicas.query("up == 1"))

    wait_until(lambda: answering() == REPLICAS, SCRAPED_S, lambda: str(answering()))


def test_the_load_balancer_logs_a_clients_address_and_the_answers_id(
    replicas: Stack, cat: bytes
) -> None:
    answers = [replicas.post_photo(cat), replicas.client.get(f"{replicas.gateway}/v1/models")]

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in replicas.log_lines("ingress") if line[:1] == "{"]

    ids = {answer.headers["X-Request-ID"] for answer in answers}
    wait_until(lambda: ids <= {line["request_id"] for line in lines()}, SCRAPED_S)
    logged = [line for line in lines() if line["request_id"] in ids]
    assert [line["path"] for line in logged] == ["/v1/segment", "/v1/models"]
    assert [line["status"] for line in logged] == [200, 200]
    assert all(ip_address(str(line["client"])) for line in logged)


@pytest.mark.parametrize("service", ["worker", "gateway"])
def test_every_line_of_our_containers_is_an_object(replicas: Stack, service: str) -> None:
    found = replicas.log_lines(service)
    assert found
    assert [line for line in found if not json.loads(line)["event"]] == []


@pytest.mark.parametrize("service", ["gateway", "worker"])
def test_every_replica_is_replaced_and_no_request_is_lost(
    replicas: Stack, cat: bytes, service: str
) -> None:
    before = replicas.containers(service)
    clients = ConcurrentClients(lambda: replicas.post_photo(cat, timeout_ms=120_000))
    try:
        wait_until(lambda: bool(clients.answers), ANSWERED_S, replicas.logs)
        replicas.roll_out(service)
        count = len(clients.answers)
        wait_until(lambda: len(clients.answers) > count + 3, ANSWERED_S, replicas.logs)
    finally:
        clients.stop()
    assert clients.failed() == []
    after = replicas.containers(service)
    assert len(after) == len(before) == 2
    assert not after & before
