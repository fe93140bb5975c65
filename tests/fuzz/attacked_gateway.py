"""A gateway process under attack, and another client, whose masks and latency are checked.

Used by the tests of HTTP abuse and of floods.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from loadtest.measure.usage import resident_bytes
from tests.support.fakes import CAT, NO_TLS, FakeTorchServe, listening, until
from tests.support.ports import free_port
from tests.support.server import Command

START_S = 60.0

# of the process: the limit of all connections' buffers, and some garbage
MAX_GROWTH_BYTES = 80_000_000

# for another client's photo during the abuse, on a busy machine
TIMEOUT_S = 20.0

KEY = "a-key-of-the-tests"


@dataclass
class AttackedGateway:
    """A gateway process, and another client that always sends photos."""

    port: int
    pid: int
    http: httpx.AsyncClient
    start_bytes: int = 0
    most_bytes: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0

    async def send_photos(self) -> None:
        """Send photos one after the other, and read the gateway's memory."""
        while True:
            began = asyncio.get_running_loop().time()
            answer = await self.http.post("/v1/segment", content=CAT)
            self.slowest_s = max(self.slowest_s, asyncio.get_running_loop().time() - began)
            self.answers[answer.status_code] += 1
            self.most_bytes = max(self.most_bytes, resident_bytes(self.pid))

    def growth_bytes(self) -> int:
        return self.most_bytes - self.start_bytes


@asynccontextmanager
async def attacked(folder: Path, *, has_keys: bool = False) -> AsyncIterator[AttackedGateway]:
    """Start a gateway with a fake TorchServe, and send it photos until the block is left."""
    port, torchserve = free_port(), FakeTorchServe()
    keys = folder / "keys"
    keys.write_text(f"{hashlib.sha256(KEY.encode()).hexdigest()} good\n")
    async with listening(torchserve) as url:
        environment = {
            "FCNSERVE_PORT": str(port),
            "FCNSERVE_TORCHSERVE_URL": url,
            "FCNSERVE_API_KEYS_FILE": str(keys) if has_keys else "",
        }
        command = Command(folder / "log", "gateway", environment=environment)
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers={"X-API-Key": KEY},
                verify=NO_TLS,
                timeout=TIMEOUT_S,
            ) as http:
                gateway = AttackedGateway(port, command.process.pid, http)
                await until(lambda: is_ready(http), START_S)
                await asyncio.gather(*(http.post("/v1/segment", content=CAT) for _ in range(16)))
                gateway.start_bytes = resident_bytes(gateway.pid)
                sending = asyncio.create_task(gateway.send_photos())
                yield gateway
                assert not sending.done(), sending.exception()
                sending.cancel()
                with suppress(asyncio.CancelledError):
                    await sending
                assert "Traceback" not in command.output()
        finally:
            await asyncio.to_thread(command.end)


async def is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def check(gateway: AttackedGateway, figures: list[str], name: str) -> None:
    figures.append(
        f"{name}: {gateway.answers.total()} photos of the other client, the slowest "
        f"{gateway.slowest_s:.2f} s, memory {gateway.start_bytes / 1e6:.0f} to "
        f"{gateway.most_bytes / 1e6:.0f} MB"
    )
    assert set(gateway.answers) == {200}
    assert gateway.growth_bytes() < MAX_GROWTH_BYTES
