"""The running stack: masks, metrics, and containers without further rights."""

import json
from typing import Any

import httpx
import pytest

from tests.integration.reading import indices
from tests.stack.compose import CommandError, Stack, docker
from tests.support.polling import wait_until

OURS = ("gateway", "worker")
RUNNING = (*OURS, "prometheus")
SCRAPE_S = 60.0
FETCH = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8083/{}').read().decode())"


def test_a_photo_becomes_a_mask_of_its_own_size_and_twice_the_same(
    stack: Stack, cat: bytes
) -> None:
    first, second = stack.post_photo(cat), stack.post_photo(cat)
    assert first.status_code == httpx.codes.OK, first.text
    assert indices(first.content).shape == (300, 451)
    assert first.content == second.content
    assert first.headers["X-Model"].startswith("fcn8s-lite2@")


def test_probes_say_ready(stack: Stack) -> None:
    for route in ("livez", "readyz"):
        assert stack.client.get(f"{stack.gateway}/{route}").status_code == httpx.codes.OK


def test_the_gateway_counts_what_it_answers(stack: Stack, cat: bytes) -> None:
    def answered() -> float:
        text = stack.client.get(f"{stack.gateway}/metrics").text
        lines = [line for line in text.splitlines() if line.startswith("fcnserve_requests_total{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if "/v1/segment" in line)

    before = answered()
    assert stack.post_photo(cat).status_code == httpx.codes.OK
    assert answered() == before + 1


def test_the_worker_has_health_and_metrics(stack: Stack) -> None:
    assert "answers" in stack.run_python("worker", FETCH.format("healthz"))
    assert "fcnserve_worker_processes" in stack.run_python("worker", FETCH.format("metrics"))


def test_prometheus_scrapes_gateway_worker_torchserve_and_itself(stack: Stack) -> None:
    def health() -> dict[str, str]:
        answer = stack.client.get(f"{stack.prometheus}/api/v1/targets").json()
        return {
            target["labels"]["job"]: target["health"] for target in answer["data"]["activeTargets"]
        }

    expected = dict.fromkeys(("gateway", "worker", "torchserve", "prometheus"), "up")
    wait_until(lambda: health() == expected, SCRAPE_S, lambda: str(health()))


def test_only_gateway_and_prometheus_publish_a_port_and_on_loopback(stack: Stack) -> None:
    published: dict[str, list[tuple[str, str, str]]] = {}
    for service in RUNNING:
        ports: dict[str, Any] = stack.inspect(service)["NetworkSettings"]["Ports"]
        published[service] = [
            (inner, outer["HostIp"], outer["HostPort"])
            for inner, outers in ports.items()
            for outer in outers or ()
        ]
    assert published == {
        "gateway": [("8000/tcp", "127.0.0.1", stack.gateway.rpartition(":")[2])],
        "prometheus": [("9090/tcp", "127.0.0.1", stack.prometheus.rpartition(":")[2])],
        "worker": [],
    }


@pytest.mark.parametrize("service", RUNNING)
def test_a_container_is_read_only_without_capabilities_and_not_root(
    stack: Stack, service: str
) -> None:
    found = stack.inspect(service)
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert found["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    assert found["Config"]["User"] not in {"", "0", "root"}
    assert found["State"]["Health"]["Status"] == "healthy"


@pytest.mark.parametrize("service", OURS)
def test_the_first_process_is_no_shell_and_has_no_rights(stack: Stack, service: str) -> None:
    command = stack.run_python(service, "print(open('/proc/1/cmdline').read())").split("\0")
    assert not {"sh", "bash", "dash"} & {word.rpartition("/")[2] for word in command}
    status = dict(
        line.split(":\t", 1)
        for line in stack.run_python(service, "print(open('/proc/1/status').read())").splitlines()
        if ":\t" in line
    )
    assert status["Uid"].split() == ["10001"] * 4
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"


@pytest.mark.parametrize("service", OURS)
def test_the_root_file_system_cannot_be_written(stack: Stack, service: str) -> None:
    with pytest.raises(CommandError, match="Read-only file system"):
        stack.run_python(service, "open('/opt/fcnserve/new', 'w')")


def test_the_image_of_the_gateway_has_no_torch(stack: Stack) -> None:
    with pytest.raises(CommandError, match="No module named 'torch'"):
        stack.run_python("gateway", "import torch")


def test_the_cpu_image_of_the_worker_has_no_cuda(stack: Stack) -> None:
    names = json.loads(
        stack.run_python(
            "worker",
            "import json, importlib.metadata as m, torch; assert torch.version.cuda is None;"
            "print(json.dumps([d.name for d in m.distributions()]))",
        )
    )
    assert [name for name in names if name.startswith(("nvidia-", "triton"))] == ["nvidia-ml-py"]


def test_torchserve_is_unreachable_from_other_networks(stack: Stack) -> None:
    networks = stack.inspect("worker")["NetworkSettings"]["Networks"]
    (inside,) = networks
    (network,) = json.loads(docker("network", "inspect", inside))
    assert network["Internal"]
    address = networks[inside]["IPAddress"]
    connect = "import socket; socket.create_connection(('{}', 8080), 3); print('connected')"
    assert "connected" in stack.run_python("gateway", connect.format(address))
    outside = inside.replace("_inside", "_outside")
    image = stack.inspect("gateway")["Image"]
    for name in ("worker", address):
        with pytest.raises(CommandError, match=r"socket\.gaierror|OSError|TimeoutError"):
            docker(
                *("run", "--rm", "--network", outside, "--entrypoint", "python", image),
                *("-c", connect.format(name)),
            )
