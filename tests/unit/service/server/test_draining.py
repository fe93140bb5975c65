"""A gateway that is told to stop lets nobody down: as a process, and as several, with the fake
behind it.
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
from tests.integration.server import Command
from tests.support.fakes import CAT, NO_TLS, FakeTorchServe, free_port, listening, until

START_S = 60.0


@dataclass(frozen=True)
class House:
    """A gateway of processes of its own, and the fake behind it."""

    command: Command
    torchserve: FakeTorchServe
    port: int
    processes: int

    def client(self) -> httpx.AsyncClient:
        url = f"http://127.0.0.1:{self.port}"
        return httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30)

    async def segment(self) -> httpx.Response:
        """Send a photo over a connection of its own."""
        async with self.client() as http:
            return await http.post("/v1/segment", content=CAT)

    async def ready_code(self) -> str:
        """The code of /readyz; REFUSED when nobody listens, or the listener was just closed."""
        async with self.client() as http:
            try:
                answer = await http.get("/readyz")
            except (httpx.ConnectError, httpx.ReadError):
                return REFUSED
        return "ready" if answer.status_code == 200 else answer.json()["code"]

    async def is_ready(self) -> bool:
        """Every process takes requests: the gauges are the least of all, and their sum."""
        assert self.command.process.poll() is None, self.command.output()
        async with self.client() as http:
            try:
                lines = (await http.get("/metrics")).text.splitlines()
            except httpx.TransportError:
                return False
        values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        names = ("fcnserve_ready", "fcnserve_in_flight_limit")
        limit = 64 // self.processes * self.processes
        return [float(values.get(name, 0)) for name in names] == [1, limit]

    def tell_to_stop(self) -> None:
        self.command.process.send_signal(signal.SIGTERM)

    async def says(self, code: str) -> None:
        """Wait until /readyz says it."""

        async def said() -> bool:
            return await self.ready_code() == code

        await until(said)

    async def ended(self) -> int:
        """The exit code; nothing of it is left then, and nothing went wrong."""
        code = await asyncio.to_thread(self.command.wait)
        await asyncio.to_thread(self.command.assert_gone)
        assert "Traceback" not in self.command.output(), self.command.output()
        return code


@asynccontextmanager
async def house(
    log: Path, torchserve: FakeTorchServe, url: str, processes: int = 1, **settings: float
) -> AsyncIterator[House]:
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
        made = House(command, torchserve, port, processes)
        await until(made.is_ready, START_S)
        yield made
    finally:
        torchserve.released.set()
        await asyncio.to_thread(command.end)


@asynccontextmanager
async def started(folder: Path, processes: int = 1, **settings: float) -> AsyncIterator[House]:
    torchserve = FakeTorchServe()
    async with (
        listening(torchserve) as url,
        house(folder / "log", torchserve, url, processes, **settings) as made,
    ):
        yield made


@asynccontextmanager
async def held(made: House) -> AsyncIterator["asyncio.Task[httpx.Response]"]:
    """A request that the fake has and does not answer before `released` is set."""
    made.torchserve.fault = made.torchserve.hangs
    task = asyncio.create_task(made.segment())
    await until(lambda: made.torchserve.photos)
    made.torchserve.fault = None
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, httpx.HTTPError):
            await task


REFUSED = "refused"
MASK = "200 image/png"


async def keep_asking(
    ask: Callable[[], Awaitable[httpx.Response]], outcomes: Counter[str], pause_s: float = 0
) -> None:
    """Count what comes of it, until nobody listens any more."""
    while (outcome := await outcome_of(ask())) != REFUSED:
        outcomes[outcome] += 1
        await asyncio.sleep(pause_s)


async def outcome_of(asking: Awaitable[httpx.Response]) -> str:
    try:
        answer = await asking
    except httpx.ConnectError:
        return REFUSED
    except httpx.TransportError as error:
        return repr(error)
    return f"{answer.status_code} {answer.headers.get('content-type')}"


both = pytest.mark.parametrize("processes", [1, 2], ids=["one-process", "two-processes"])


@both
async def test_it_says_that_it_goes_then_lets_nobody_in_then_answers_who_waits(
    tmp_path: Path, processes: int
) -> None:
    async with started(tmp_path, processes, drain_delay_s=3) as made, held(made) as waiting:
        made.tell_to_stop()
        await made.says("draining")
        for _ in range(4):  # still served, and told to find another gateway next time
            answer = await made.segment()
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        await made.says(REFUSED)
        assert not waiting.done()
        made.torchserve.released.set()
        answer = await waiting
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert await made.ended() == 0


async def test_canaries_go_on_while_it_drains(tmp_path: Path) -> None:
    async with started(tmp_path, drain_delay_s=3, ready_window_s=0.6) as made:
        made.tell_to_stop()
        await made.says("draining")
        before = len(made.torchserve.liveness_probes)
        await until(lambda: len(made.torchserve.liveness_probes) > before + 2)
        assert await made.ready_code() == "draining"
        assert await made.ended() == 0


@both
async def test_no_request_of_clients_that_keep_sending_is_lost(
    tmp_path: Path, processes: int
) -> None:
    """Over connections that are kept, over one a request, over some that had been idle; without
    any delay.
    """
    async with started(tmp_path, processes) as made:
        outcomes = Counter[str]()
        clients = [made.client() for _ in range(12)]
        async with asyncio.TaskGroup() as group:
            for number, http in enumerate(clients):
                send = partial(http.post, "/v1/segment", content=CAT)
                group.create_task(keep_asking(send, outcomes, 0.02 * (number % 3)))
            for _ in range(4):
                group.create_task(keep_asking(made.segment, outcomes))
            await until(lambda: outcomes.total() > 100, START_S)
            made.tell_to_stop()
        for http in clients:
            await http.aclose()
        assert set(outcomes) == {MASK}, outcomes
        assert await made.ended() == 0


async def test_idle_connections_are_closed_and_do_not_hold_it_up(tmp_path: Path) -> None:
    async with started(tmp_path, shutdown_grace_s=60) as made, made.client() as http:
        assert (await http.get("/livez")).status_code == 200
        _, silent = await asyncio.open_connection("127.0.0.1", made.port)
        reader, half = await asyncio.open_connection("127.0.0.1", made.port)
        half.write(b"GET /livez HTTP/1.1\r\nHost: ")
        await half.drain()
        made.tell_to_stop()
        await made.says(REFUSED)
        half.write(b"x\r\n\r\n")  # who had begun may end
        async with asyncio.timeout(10):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert await made.ended() == 0
        for writer in (silent, half):
            writer.transport.abort()


@both
async def test_a_second_signal_ends_it_at_once(tmp_path: Path, processes: int) -> None:
    async with started(tmp_path, processes, drain_delay_s=60) as made, held(made):
        made.tell_to_stop()
        await made.says("draining")
        made.command.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(made.command.wait, 10) == 1
        await asyncio.to_thread(made.command.assert_gone)
        assert "Traceback" not in made.command.output(), made.command.output()


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
    async with started(tmp_path, processes) as made, held(made) as waiting:
        made.command.signal_group(signal.SIGINT)
        await made.says(REFUSED)
        made.torchserve.released.set()
        assert (await waiting).status_code == 200
        assert await made.ended() == 0


async def test_who_has_no_answer_when_the_grace_ends_is_told_why(tmp_path: Path) -> None:
    async with started(tmp_path, shutdown_grace_s=1) as made, held(made) as waiting:
        made.tell_to_stop()
        answer = await waiting
        assert (answer.status_code, answer.json()["code"]) == (503, "draining")
        assert answer.headers["retry-after"] == "1"
        assert await made.ended() == 0


class Proxy:
    """A proxy of a few lines: sends each new connection to a gateway that says it is ready."""

    def __init__(self) -> None:
        self.houses: list[House] = []
        self._ready: list[House] = []

    async def watch(self) -> None:
        while True:
            codes = [await each.ready_code() for each in self.houses]
            self._ready = [
                each for each, code in zip(self.houses, codes, strict=True) if code == "ready"
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


async def test_gateways_behind_a_proxy_are_restarted_in_turn_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    torchserve, proxy, outcomes = FakeTorchServe(), Proxy(), Counter[str]()

    async def keep_sending(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as http:
            await keep_asking(partial(http.post, "/v1/segment", content=CAT), outcomes)

    async def more_than(total: int) -> None:
        await until(lambda: outcomes.total() > total, START_S)

    async def another(url: str, number: int) -> House:
        return await stack.enter_async_context(
            house(tmp_path / f"{number}.log", torchserve, url, drain_delay_s=2)
        )

    async with listening(torchserve) as url, AsyncExitStack() as stack:
        proxy.houses = [await another(url, number) for number in range(2)]
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        watching = asyncio.create_task(proxy.watch())
        try:
            front = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            clients = [asyncio.create_task(keep_sending(front)) for _ in range(8)]
            for number in range(2):
                await more_than(outcomes.total() + 50)
                old = proxy.houses[number]
                old.tell_to_stop()
                assert await old.ended() == 0
                proxy.houses[number] = await another(url, 2 + number)
            await more_than(outcomes.total() + 50)
            assert not any(client.done() for client in clients), [*clients, outcomes]
            for client in clients:
                client.cancel()
            await asyncio.wait(clients)
        finally:
            watching.cancel()
            server.close()
        assert set(outcomes) == {MASK}, outcomes
