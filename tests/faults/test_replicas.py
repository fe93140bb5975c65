"""One of two TorchServes is killed, or stops, under load, and comes back: no request is lost."""

import signal
from collections.abc import Callable, Sequence

import httpx
import pytest

from tests.faults.clients import ConcurrentClients, photos_with_answers
from tests.faults.counts import Counts
from tests.faults.scenario import ANSWERS_BEFORE, StartService
from tests.faults.service import JAVA, RestartedSubservice, Service
from tests.support.ports import free_port


def replicas_ready(service: Service) -> int:
    """How many TorchServes take images, by the gateway's metrics."""
    return sum(map(int, samples(service, "fcnserve_replica_ready")))


def samples(service: Service, name: str) -> list[float]:
    lines = httpx.get(f"{service.url}/metrics", trust_env=False).text.splitlines()
    return [float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{")]


def kill_first(service: Service) -> None:
    service.kill(min(service.pids(JAVA)))


def stop_first(service: Service) -> None:
    """As a container runtime does; its successor is started at the same address."""
    service.kill(min(service.pids("service.cli.main worker")), signal.SIGTERM)


@pytest.mark.parametrize(
    ("name", "fault", "drain_s"),
    [
        pytest.param("one of two TorchServes killed", kill_first, "0", id="killed"),
        pytest.param("one of two workers stopped, and draining", stop_first, "10", id="drained"),
    ],
)
def test_with_two_replicas_the_loss_of_one_costs_no_request(
    start: StartService,
    bodies: Sequence[bytes],
    name: str,
    fault: Callable[[Service], None],
    drain_s: str,
) -> None:
    ports = free_port(), free_port()
    urls = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    settings = {"FCNSERVE_TORCHSERVE_URL": urls, "FCNSERVE_WORKER_DRAIN_S": drain_s}
    service = start(workers=1, **settings, FCNSERVE_WORKER_PORT=str(ports[0]))
    environment = service.subservices["worker"].environment
    second = {**environment, "FCNSERVE_WORKER_PORT": str(ports[1])}
    service.subservices["second"] = RestartedSubservice("worker", second, service.log)
    service.wait_until(lambda: replicas_ready(service) == len(ports))

    photos, counts = photos_with_answers(service, bodies), Counts(name)
    with ConcurrentClients(service.url, photos, counts) as clients:
        clients.wait_for_correct_answers(ANSWERS_BEFORE)
        fault(service)
        service.wait_until(lambda: replicas_ready(service) == 1)
        clients.wait_for_correct_answers(ANSWERS_BEFORE)
        service.wait_until(lambda: replicas_ready(service) == len(ports))
        clients.wait_until_steady()
    assert (counts.correct, counts.wrong) == (counts.sent, 0), counts.losses[:5]
    retries = sum(samples(service, "fcnserve_upstream_retries_total"))
    assert (retries == 0) == (drain_s != "0")  # what drains loses nothing that would be repeated
