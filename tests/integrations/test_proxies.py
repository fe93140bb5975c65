"""Real proxies with TLS before a real service, with the configurations of docs/deployment.md."""

import os
import re
import shutil
import ssl
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.server import CAT, ROOT, Command, Server, is_listening

PAGE = (ROOT / "docs/deployment.md").read_text()
HOST = "segment.example.com"
SNI = {"sni_hostname": HOST}
START_S = 60


@dataclass(frozen=True)
class Gateway:
    """`fcnserve gateway` as it runs."""

    command: Command
    port: int


def block(beginning: str) -> str:
    """Return the configuration of the page that begins with this line."""
    found = re.search(rf"```\n({re.escape(beginning)}\n.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate of the page's host, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 "
        f"-subj /CN={HOST} -addext subjectAltName=DNS:{HOST} "
        "-keyout segment.key -out segment.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder


@dataclass(frozen=True)
class ProxyPlan:
    """Where a proxy listens, what it sends requests to, and a folder of its own."""

    port: int
    upstream: str
    certificate: Path
    folder: Path


def nginx(plan: ProxyPlan) -> list[str]:
    of_page = (
        block("server {")
        .replace("listen 443", f"listen 127.0.0.1:{plan.port}")
        .replace("/etc/ssl", str(plan.certificate))
        .replace("127.0.0.1:8000", plan.upstream)
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {plan.folder}/{kind};\n" for kind in kinds)
    configuration = plan.folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; pid {plan.folder}/pid; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log off;\n{folders}{of_page}}}"
    )
    return ["nginx", "-e", "stderr", "-c", str(configuration)]


def caddy(plan: ProxyPlan) -> list[str]:
    files = f"{plan.certificate}/segment.pem {plan.certificate}/segment.key"
    address = f"https://{HOST}:{plan.port} {{\n bind 127.0.0.1\n tls {files}\n"
    of_page = block(f"{HOST} {{").replace(f"{HOST} {{", address)
    of_page = of_page.replace("127.0.0.1:8000", plan.upstream)
    configuration = plan.folder / "Caddyfile"
    configuration.write_text(f"{{\n admin off\n auto_https off\n}}\n{of_page}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(configuration)]


@pytest.fixture(scope="module")
def gateway(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A second gateway at the service's TorchServe, which believes proxies of this machine."""
    port = free_port()
    settings = {
        "FCNSERVE_PORT": str(port),
        "FCNSERVE_TORCHSERVE_URL": server.torchserve_url,
        "FCNSERVE_TRUSTED_PROXIES": "127.0.0.1",
        "FCNSERVE_ROOT_PATH": "/segmentation",
    }
    log = tmp_path_factory.mktemp("gateway") / "gateway.log"
    command = Command(log, "gateway", environment=settings)
    try:
        wait_until(lambda: is_listening(port), START_S, command.output)
        yield Gateway(command, port)
    finally:
        command.end()


@pytest.fixture(params=[nginx, caddy])
def proxy(
    request: pytest.FixtureRequest, gateway: Gateway, certificate: Path, tmp_path: Path
) -> Iterator[httpx.Client]:
    """A client of the service through a proxy that has the page's configuration."""
    configure: Callable[[ProxyPlan], list[str]] = request.param
    plan = ProxyPlan(free_port(), f"127.0.0.1:{gateway.port}", certificate, tmp_path)
    command = configure(plan)
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    running = subprocess.Popen(command, env=environment)
    trusted = ssl.create_default_context(cafile=certificate / "segment.pem")
    try:
        with httpx.Client(
            base_url=f"https://127.0.0.1:{plan.port}", verify=trusted, headers={"Host": HOST}
        ) as client:
            wait_until(lambda: is_ready(client), START_S, gateway.command.output)
            yield client
    finally:
        running.terminate()
        running.wait(START_S)


def is_ready(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return client.get("/readyz", extensions=SNI).status_code == 200
    return False


@pytest.mark.parametrize("prefix", ["", "/segmentation"])
def test_a_mask_has_the_same_bytes_through_a_proxy(
    proxy: httpx.Client, server: Server, gateway: Gateway, prefix: str
) -> None:
    photo = CAT.read_bytes()
    request_id = uuid.uuid4().hex
    answer = proxy.post(
        f"{prefix}/v1/segment",
        content=photo,
        headers={"X-Request-ID": request_id, "X-Forwarded-For": "192.0.2.1"},
        extensions=SNI,
    )
    assert answer.content == server.segment(photo)
    lines = gateway.command.output().splitlines()
    (line,) = (line for line in lines if request_id in line)
    assert "client=127.0.0.1" in line  # and not what the client itself wrote into the header
