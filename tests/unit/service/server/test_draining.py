"""A gateway that stops loses no request: real gateways of one process and of several, with the fake
TorchServe.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from service.all_in_one.run import forward_signals
from service.server.server import STOP_SIGNALS
from service.subprocesses import running
from tests.support.fakes import CAT, NO_TLS, FakeTorchServe, listening, until
from tests.support.ports import free_port
from tests.support.server import Command

START_S = 60.0


@dataclass(frozen=True)
class RunningGateway:
    """A gateway as a subprocess, and the fake TorchServe."""

    command: Command
    torchserve: FakeTorchServe
    port: int
    processes: int

    def client(self) -> httpx.AsyncClient:
        url = f"http://127.0.0.1:{self.port}"
        return httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30)

    async def segment(self) -> httpx.Response:
        """Send a photo over a new connection."""
        async with self.client() as http:
            return await http.post("/v1/segment", content=CAT)

    async def ready_code(self) -> str:
        """Return the code of /readyz; REFUSED where the port is closed, or was just closed; DROPPED
        where the gateway did not wait for this request: this process was stalled.
        """
        async with self.client() as http:
            try:
                answer = await http.get("/readyz")
            except (httpx.ConnectError, httpx.ReadError):
                return REFUSED
            except httpx.RemoteProtocolError:
                return DROPPED
        return "ready" if answer.status_code == 200 else answer.json()["code"]

    async def is_ready(self) -> bool:
        """Return whether each process listens and is ready: the gauge is the minimum of all."""
        assert self.command.process.poll() is None, self.command.output()
        async with self.client() as http:
            try:
                lines = (await http.get("/metrics")).text.splitlines()
            except httpx.TransportError:
                return False
        listening = [line for line in lines if line.startswith("process_start_time_seconds")]
        has_supervisor = self.processes > 1
        return "fcnserve_ready 1.0" in lines and len(listening) == self.processes + has_supervisor

    def stop(self) -> None:
        self.command.process.send_signal(signal.SIGTERM)

    async def reaches(self, code: str) -> None:
        """Wait until /readyz has this code."""

        async def has_code() -> bool:
            return await self.ready_code() == code

        await until(has_code)

    async def ended(self) -> int:
        """Return the exit code; check that no process is left, and that there was no traceback."""
        code = await asyncio.to_thread(self.command.wait)
        await asyncio.to_thread(self.command.assert_gone)
        assert "Traceback" not in self.command.output(), self.command.output()
        return code


@asynccontextmanager
async def launched(
    log: Path, torchserve: FakeTorchServe, url: str, processes: int = 1, **settings: float
) -> AsyncIterator[RunningGateway]:
    port = free_port()
    command = Command(
        log,
        "gateway",
        environment={
            "FCNSERVE_PORT": str(port),
            "FCNSERVE_TORCHSERVE_URL": url,
            "FCNSERVE_GATEWAY_PROCESSES": str(processes),
            **{f"FCNSERVE_{name.upper()}": str(value) for name, value in settings.items()},
        },
    )
    try:
        gateway = RunningGateway(command, torchserve, port, processes)
        await until(gateway.is_ready, START_S)
        yield gateway
    finally:
        torchserve.released.set()
        await asyncio.to_thread(command.end)


@asynccontextmanager
async def started(
    folder: Path, processes: int = 1, **settings: float
) -> AsyncIterator[RunningGateway]:
    torchserve = FakeTorchServe()
    async with (
        listening(torchserve) as url,
        launched(folder / "log", torchserve, url, processes, **settings) as gateway,
    ):
        yield gateway


@asynccontextmanager
async def unanswered(gateway: RunningGateway) -> AsyncIterator["asyncio.Task[httpx.Response]"]:
    """Send a request that the fake answers when `released` is set."""
    gateway.torchserve.fault = gateway.torchserve.hangs
    task = asyncio.create_task(gateway.segment())
    await until(lambda: gateway.torchserve.photos)
    gateway.torchserve.fault = None
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, httpx.HTTPError):
            await task


REFUSED = "refused"
DROPPED = "dropped"
MASK = "200 image/png"


async def keep_sending_requests(
    send: Callable[[], Awaitable[httpx.Response]], outcomes: Counter[str], pause_s: float = 0
) -> None:
    """Send requests and count the outcomes, until the port is closed."""
    while (outcome := await outcome_of(send())) != REFUSED:
        outcomes[outcome] += 1
        await asyncio.sleep(pause_s)


async def outcome_of(sending: Awaitable[httpx.Response]) -> str:
    try:
        answer = await sending
    except httpx.ConnectError:
        return REFUSED
    except httpx.TransportError as error:
        return repr(error)
    return f"{answer.status_code} {answer.headers.get('content-type')}"


both = pytest.mark.parametrize("processes", [1, 2], ids=["one-process", "two-processes"])


@both
async def test_photos_and_liveness_probes_are_answered_while_it_drains(
    tmp_path: Path, processes: int
) -> None:
    async with started(tmp_path, processes, drain_delay_s=60, ready_window_s=0.6) as gateway:
        gateway.stop()
        await gateway.reaches("draining")
        for _ in range(4):  # on connections that close
            answer = await gateway.segment()
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        before = len(gateway.torchserve.liveness_probes)
        await until(lambda: len(gateway.torchserve.liveness_probes) > before + 2)
        assert await gateway.ready_code() == "draining"


@both
async def test_the_port_closes_after_the_delay_and_then_the_last_answers_are_sent(
    tmp_path: Path, processes: int
) -> None:
    async with (
        started(tmp_path, processes, drain_delay_s=0.2) as gateway,
        unanswered(gateway) as waiting,
    ):
        gateway.stop()
        await gateway.reaches(REFUSED)
        assert not waiting.done()
        gateway.torchserve.released.set()
        answer = await waiting
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert await gateway.ended() == 0


@both
async def test_no_request_is_lost_while_clients_keep_sending(
    tmp_path: Path, processes: int
) -> None:
    """Over kept connections, over one a request, over idle ones; without a delay."""
    async with started(tmp_path, processes) as gateway:
        outcomes = Counter[str]()
        clients = [gateway.client() for _ in range(12)]
        async with asyncio.TaskGroup() as group:
            for number, http in enumerate(clients):
                send = partial(http.post, "/v1/segment", content=CAT)
                group.create_task(keep_sending_requests(send, outcomes, 0.02 * (number % 3)))
            for _ in range(4):
                group.create_task(keep_sending_requests(gateway.segment, outcomes))
            await until(lambda: outcomes.total() > 100, START_S)
            gateway.stop()
        for http in clients:
            await http.aclose()
        assert set(outcomes) == {MASK}, outcomes
        assert await gateway.ended() == 0


async def test_idle_connections_are_closed_and_delay_no_stop(tmp_path: Path) -> None:
    async with started(tmp_path, shutdown_grace_s=60) as gateway, gateway.client() as http:
        assert (await http.get("/livez")).status_code == 200
        _, silent = await asyncio.open_connection("127.0.0.1", gateway.port)
        reader, half = await asyncio.open_connection("127.0.0.1", gateway.port)
        half.write(b"GET /livez HTTP/1.1\r\nHost: ")
        await half.drain()
        gateway.stop()
        await gateway.reaches(REFUSED)
        half.write(b"x\r\n\r\n")  # a request that has begun may be completed
        async with asyncio.timeout(10):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert await gateway.ended() == 0
        for writer in (silent, half):
            writer.transport.abort()


@both
async def test_a_second_signal_stops_it_at_once(tmp_path: Path, processes: int) -> None:
    async with started(tmp_path, processes, drain_delay_s=60) as gateway, unanswered(gateway):
        gateway.stop()
        await gateway.reaches("draining")
        gateway.command.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(gateway.command.wait, 10) == 1
        await asyncio.to_thread(gateway.command.assert_gone)
        assert "Traceback" not in gateway.command.output(), gateway.command.output()


async def test_fcnserve_serve_passes_a_second_ctrl_c_on_to_its_gateway(tmp_path: Path) -> None:
    before = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    with running(["sleep", "60"], os.environ, tmp_path, grace_s=1) as gateway:
        try:
            forward_signals(gateway)
            signal.raise_signal(signal.SIGINT)
            await until(lambda: gateway.exit_code() == -signal.SIGTERM)
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


@both
async def test_ctrl_c_in_a_terminal_drains_too(tmp_path: Path, processes: int) -> None:
    async with started(tmp_path, processes) as gateway, unanswered(gateway) as waiting:
        gateway.command.signal_group(signal.SIGINT)
        await gateway.reaches(REFUSED)
        gateway.torchserve.released.set()
        assert (await waiting).status_code == 200
        assert await gateway.ended() == 0


async def test_a_request_without_an_answer_at_the_end_of_the_grace_gets_503(tmp_path: Path) -> None:
    async with started(tmp_path, shutdown_grace_s=1) as gateway, unanswered(gateway) as waiting:
        gateway.stop()
        answer = await waiting
        assert (answer.status_code, answer.json()["code"]) == (503, "draining")
        assert answer.headers["retry-after"] == "1"
        assert await gateway.ended() == 0


class Proxy:
    """A proxy of a few lines: forwards each new connection to a gateway that is ready."""

    def __init__(self) -> None:
        self.gateways: list[RunningGateway] = []
        self._ready: list[RunningGateway] = []

    async def probe(self) -> None:
        while True:
            codes = [await each.ready_code() for each in self.gateways]
            self._ready = [
                each for each, code in zip(self.gateways, codes, strict=True) if code == "ready"
            ]
            await asyncio.sleep(0.02)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await until(lambda: self._ready)
        chosen = random.choice(self._ready)
        from_gateway, to_gateway = await asyncio.open_connection("127.0.0.1", chosen.port)
        with suppress(ConnectionError):
            await asyncio.gather(copy(reader, to_gateway), copy(from_gateway, writer))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def test_no_request_is_lost_while_gateways_behind_a_proxy_restart_in_turn(
    tmp_path: Path,
) -> None:
    torchserve, proxy, outcomes = FakeTorchServe(), Proxy(), Counter[str]()

    async def keep_sending(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as http:
            await keep_sending_requests(partial(http.post, "/v1/segment", content=CAT), outcomes)

    async def more_than(total: int) -> None:
        await until(lambda: outcomes.total() > total, START_S)

    async def another(url: str, number: int) -> RunningGateway:
        return await stack.enter_async_context(
            launched(tmp_path / f"{number}.log", torchserve, url, drain_delay_s=2)
        )

    async with listening(torchserve) as url, AsyncExitStack() as stack:
        proxy.gateways = [await another(url, number) for number in range(2)]
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        probing = asyncio.create_task(proxy.probe())
        try:
            proxy_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            clients = [asyncio.create_task(keep_sending(proxy_url)) for _ in range(8)]
            for number in range(2):
                await more_than(outcomes.total() + 50)
                old = proxy.gateways[number]
                old.stop()
                assert await old.ended() == 0
                proxy.gateways[number] = await another(url, 2 + number)
            await more_than(outcomes.total() + 50)
            assert not any(client.done() for client in clients), [*clients, outcomes]
            for client in clients:
                client.cancel()
            await asyncio.wait(clients)
        finally:
            probing.cancel()
            server.close()
        assert set(outcomes) == {MASK}, outcomes
