"""TorchServe, which gets no fixes any more, is reachable from this machine alone, and accepts no
models.
"""

import ipaddress
import re
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.server import Server


@pytest.fixture(scope="module")
def java(server: Server) -> psutil.Process:
    return psutil.Process(server.pid_of("org.pytorch.serve.ModelServer"))


@pytest.fixture(scope="module")
def management_url(java: psutil.Process) -> str:
    command = java.cmdline()
    text = Path(command[command.index("--ts-config") + 1]).read_text()
    (url,) = re.findall(r"^management_address=(.*)$", text, re.MULTILINE)
    return str(url)


def test_torchserve_listens_on_loopback_alone(java: psutil.Process) -> None:
    listening = [each.laddr for each in java.net_connections("inet") if each.status == "LISTEN"]
    assert len(listening) == 5  # inference, management, metrics, and two of gRPC
    for address in listening:
        found = ipaddress.ip_address(address.ip)
        mapped = getattr(found, "ipv4_mapped", None)
        assert (mapped or found).is_loopback, address


def test_no_model_can_be_registered_or_removed(
    management_url: str, server: Server, cat: bytes, cat_mask: bytes
) -> None:
    with httpx.Client(base_url=management_url, trust_env=False) as management:
        answers = [
            management.post("/models", params={"url": "http://127.0.0.1:9/evil.mar"}),
            management.post("/models", params={"url": "../evil.mar"}),
            management.delete("/models/fcn8s-lite2"),
            management.post("/workflows", params={"url": "http://127.0.0.1:9/evil.war"}),
        ]
    assert all(answer.status_code >= 400 for answer in answers), answers
    assert server.segment(cat) == cat_mask
