"""deploy/swarm/stack.yml on a Docker Swarm: replicas, and a release under load."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.clients import ConcurrentClients
from tests.stack.compose import Stack, docker
from tests.support.polling import wait_until
from tests.support.server import ROOT

STACK = str(ROOT / "deploy/swarm/stack.yml")
BUILT = ("gateway", "worker", "ingress", "prometheus")
REPLICAS = {"gateway": 2, "worker": 2, "torchserve": 2, "prometheus": 1}
NEXT = "stack-next"
# a machine of two processors warms two workers up, and two more at the release
CHANGE_S = 500.0


class Swarm:
    """The stack on this machine's Swarm, of the images that Compose builds."""

    def __init__(self, folder: Path) -> None:
        self.name = f"fcnserve-swarm-{os.getpid()}"
        self.images = Stack(folder, self.name, files=["docker-compose.ingress.yml"])
        self.images.compose("build", *BUILT)
        for image in ("fcnserve-gateway", "fcnserve-worker"):
            (folder / "Dockerfile").write_text(f"FROM {image}:stack-test\nLABEL release=next\n")
            docker("build", "--tag", f"{image}:{NEXT}", str(folder))

    def deploy(self, **variables: str) -> None:
        stand_in = {"PROMETHEUS_IMAGE": "fcnserve-standin-prometheus"}
        environment = {
            **self.images.environment,
            **(stand_in if "prometheus" in self.images.stand_ins else {}),
            "CONFIG_REVISION": self.name,
            "FCNSERVE_WORKERS": "1",
            "FCNSERVE_THREADS": "1",
            **variables,
        }
        command = ("stack", "deploy", "--resolve-image", "never", "--compose-file", STACK)
        docker(*command, self.name, environment=environment)

    def updates(self) -> set[str]:
        """Return the states of the services' last updates."""
        return {self._update(service) for service in ("gateway", "worker")}

    def running_images(self) -> Counter[str]:
        """Count the containers of gateway and worker that run, by their images."""
        command = ("stack", "ps", self.name, "--filter", "desired-state=running")
        images = docker(*command, "--format", "{{.Image}}").split()
        return Counter(image for image in images if "gateway" in image or "worker" in image)

    def tasks(self) -> str:
        return docker("stack", "ps", self.name, "--no-trunc")

    def remove(self) -> None:
        docker("stack", "rm", self.name)
        wait_until(lambda: not self._containers(), CHANGE_S, lambda: str(self._containers()))
        docker("volume", "rm", "--force", f"{self.name}_prometheus-data")
        self.images.client.close()

    def _update(self, service: str) -> str:
        found = docker("service", "inspect", f"{self.name}_{service}")
        (described,) = json.loads(found)
        return str(described.get("UpdateStatus", {}).get("State", ""))

    def _containers(self) -> list[str]:
        label = f"label=com.docker.stack.namespace={self.name}"
        return docker("ps", "--all", "--quiet", "--filter", label).split()


@pytest.fixture(scope="module")
def swarm(
    engine: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Swarm]:
    """Two gateways and two workers with a thread each; removed at the end."""
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip() != "active":
        pytest.skip("this engine is in no Swarm: docker swarm init")
    started = Swarm(tmp_path_factory.mktemp("swarm"))
    try:
        started.deploy()
        wait_until(started.images.is_ready, CHANGE_S, started.tasks)
        yield started
    finally:
        started.remove()


def test_prometheus_finds_every_replica(swarm: Swarm) -> None:
    def answering() -> Counter[str]:
        return Counter(series["metric"]["job"] for series in swarm.images.query("up == 1"))

    wait_until(lambda: answering() == REPLICAS, CHANGE_S, lambda: str(answering()))


def test_a_release_replaces_every_replica_and_no_request_is_lost(swarm: Swarm, cat: bytes) -> None:
    clients = ConcurrentClients(lambda: swarm.images.post_photo(cat, timeout_ms=120_000))
    try:
        wait_until(lambda: bool(clients.answers), CHANGE_S, swarm.tasks)
        swarm.deploy(FCNSERVE_TAG=NEXT)
        wait_until(lambda: swarm.updates() == {"completed"}, CHANGE_S, swarm.tasks)
    finally:
        clients.stop()
    assert clients.failed() == []
    images = {f"fcnserve-{service}:{NEXT}": 2 for service in ("gateway", "worker")}
    assert swarm.running_images() == images
