"""A gateway that asks for the API key SECRET, and takes photos of at most MAX_PIXELS."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.auth.keys import make_key
from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.server import Command, Server, is_listening

SECRET, KEY = make_key("visitor")
MAX_PIXELS = 1_000_000
START_S = 60.0


@contextmanager
def keyed_gateway(server: Server, folder: Path) -> Iterator[str]:
    """Run it in front of a service's worker; gives its URL."""
    (folder / "keys").write_text(f"{KEY.line}\n")
    port = free_port()
    settings = {
        "FCNSERVE_PORT": str(port),
        "FCNSERVE_API_KEYS_FILE": str(folder / "keys"),
        "FCNSERVE_MAX_PIXELS": str(MAX_PIXELS),
        "FCNSERVE_TORCHSERVE_URL": server.torchserve_url,
    }
    gateway = Command(folder / "gateway.log", "gateway", environment=settings)
    try:
        wait_until(lambda: is_listening(port), START_S, gateway.output)
        yield f"http://127.0.0.1:{port}/"
    finally:
        gateway.end()
