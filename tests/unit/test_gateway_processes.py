"""A gateway of several processes, for real: one port, one set of figures, one end."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes import CAT, NO_TLS, FakeTorchServe, free_port, running, until
from tests.integration.server import Command

START_S = 60.0


@dataclass(frozen=True)
class House:
    """A gateway of processes of its own, and the fake behind it."""

    command: Command
    torchserve: FakeTorchServe
    url: str
    metrics: Path  # the folder of their figures

    async def segment(self) -> int:
        """Send a photo over a connection of its own, to whichever process takes it."""
        async with httpx.AsyncClient(base_url=self.url, verify=NO_TLS, timeout=30) as http:
            return (await http.post("/v1/segment", content=CAT)).status_code

    async def get(self, path: str) -> httpx.Response | None:
        async with httpx.AsyncClient(base_url=self.url, verify=NO_TLS, timeout=30) as http:
            try:
                return await http.get(path)
            except httpx.TransportError:
                return None

    async def value(self, sample: str) -> float:
        """The value of a sample, as it stands in a scrape of any process; labels and all."""
        answer = await self.get("/metrics")
        lines = answer.text.splitlines() if answer else []
        values = [float(line.split()[-1]) for line in lines if line.startswith(f"{sample} ")]
        assert len(values) <= 1, values
        return values[0] if values else float("nan")

    async def ready(self) -> bool:
        """Both processes take requests: the gauge is the least of all."""
        assert self.command.process.poll() is None, self.command.output()
        gauges = [await self.value("fcnserve_ready"), await self.value("fcnserve_in_flight_limit")]
        return gauges == [1, LIMIT - 1]

    async def refuses(self) -> bool:
        """Nobody listens any more."""
        return await self.get("/livez") is None

    @property
    def children(self) -> list[int]:
        return self.command.pids_of("spawn_main")


LIMIT = 3  # of which two processes take one each


@contextmanager
def started(log: Path, **environment: str) -> Iterator[Command]:
    command = Command(log, "gateway", environment=environment)
    try:
        yield command
    finally:
        command.end()


@asynccontextmanager
async def two_processes(folder: Path, **settings: Any) -> AsyncIterator[House]:
    async with running() as fake:
        port = free_port()
        metrics = folder / "metrics"
        metrics.mkdir()
        with started(
            folder / "log",
            TMPDIR=str(metrics),
            FCNSERVE_GATEWAY_PROCESSES="2",
            FCNSERVE_MAX_IN_FLIGHT=str(LIMIT),
            FCNSERVE_PORT=str(port),
            FCNSERVE_TORCHSERVE_URL=fake.app.state.segmenter.settings.torchserve_url,
            FCNSERVE_LOG_FORMAT="json",
        ) as command:
            house = House(command, fake.torchserve, f"http://127.0.0.1:{port}", metrics)
            await until(house.ready, START_S)
            yield house


async def test_figures_add_up_bounds_are_split_and_nothing_is_left(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as house:
        assert len(house.children) == 2

        # whoever answers, the figures are those of both
        for _ in range(10):
            assert await house.segment() == 200
        answered = 'fcnserve_requests_total{code="",route="/v1/segment",status="200"}'
        for _ in range(6):
            assert await house.value(answered) == 10
            assert await house.value("fcnserve_image_pixels_count") == 10
            assert (
                await house.value(
                    'fcnserve_stage_duration_seconds_count{model="fcn8s-lite2",stage="wait"}'
                )
                == 10
            )
        (model,) = await lines_of(house, "fcnserve_model_info")
        assert 'name="fcn8s-lite2"' in model
        (build,) = await lines_of(house, "fcnserve_build_info")
        assert build.endswith(" 1.0")

        # two places in all, one in each process: who finds his process's taken is turned away
        house.torchserve.fault = house.torchserve.hangs
        async with asyncio.timeout(START_S), asyncio.TaskGroup() as group:
            held: list[asyncio.Task[int]] = []
            while await house.value("fcnserve_images_in_flight") < 2:
                held.append(group.create_task(house.segment()))
                await asyncio.wait(held, timeout=0.2)
                held = [one for one in held if not one.done()]
            assert len(held) == 2
            assert {await house.segment() for _ in range(6)} == {429}
            assert await house.value("fcnserve_images_in_flight") == 2
            house.torchserve.released.set()
        assert {one.result() for one in held} == {200}
        assert await house.value("fcnserve_images_in_flight") == 0

        # who is being answered when it is told to stop gets the answer, and nobody else is let in
        house.torchserve.released.clear()
        before = len(house.torchserve.photos)
        last = asyncio.create_task(house.segment())
        await until(lambda: len(house.torchserve.photos) > before)
        house.command.process.send_signal(signal.SIGTERM)
        await until(house.refuses)
        house.torchserve.released.set()
        assert await last == 200
        assert await asyncio.to_thread(house.command.wait) == 0
        await asyncio.to_thread(house.command.assert_gone)
        assert list(house.metrics.iterdir()) == []
        log = house.command.output()
        assert all(isinstance(json.loads(line), dict) for line in log.splitlines())


async def lines_of(house: House, name: str) -> list[str]:
    answer = await house.get("/metrics")
    assert answer
    return [line for line in answer.text.splitlines() if line.startswith(name)]


async def test_a_process_that_is_killed_is_replaced_and_its_counts_stay(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as house:
        for _ in range(4):
            assert await house.segment() == 200
        before = set(house.children)
        killed = before.pop()
        os.kill(killed, signal.SIGKILL)

        async def replaced() -> bool:
            return len(house.children) == 2 and killed not in house.children

        await until(replaced, START_S)
        await until(house.ready, START_S)
        assert await house.value("fcnserve_image_pixels_count") == 4
        house.command.signal_group(signal.SIGINT)  # Ctrl-C in a terminal
        assert await asyncio.to_thread(house.command.wait) == 0
        await asyncio.to_thread(house.command.assert_gone)


async def test_processes_end_with_the_one_above_them(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as house:
        house.command.process.kill()
        await asyncio.to_thread(house.command.assert_gone)


async def test_a_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    async with running() as gateway:
        with started(
            tmp_path / "log", FCNSERVE_GATEWAY_PROCESSES="2", FCNSERVE_PORT=str(gateway.port)
        ) as command:
            assert await asyncio.to_thread(command.wait) != 0
            assert "Address already in use" in command.output()
            assert list(command.processes()) == []


@pytest.mark.parametrize("processes", ["0", "65", "two"])
def test_a_number_of_processes_that_is_none_is_told(tmp_path: Path, processes: str) -> None:
    with started(tmp_path / "log", FCNSERVE_GATEWAY_PROCESSES=processes) as command:
        assert command.wait() == 2
        assert f"FCNSERVE_GATEWAY_PROCESSES={processes}" in command.output()
