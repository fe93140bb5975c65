"""A gateway of several processes, for real: one port, one set of figures, one end."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.auth.keys import make_key
from service.metrics.files import SHARED_MEMORY
from tests.integration.server import Command
from tests.support.fakes import CAT, NO_TLS, FakeTorchServe, free_port, running, until

START_S = 60.0


@dataclass(frozen=True)
class House:
    """A gateway of processes of its own, and the fake behind it."""

    command: Command
    torchserve: FakeTorchServe
    url: str
    metrics: Path  # the folder of their figures

    async def segment(self, headers: Mapping[str, str] | None = None) -> int:
        """Send a photo over a connection of its own, to whichever process takes it."""
        async with httpx.AsyncClient(base_url=self.url, verify=NO_TLS, timeout=30) as http:
            answer = await http.post("/v1/segment", content=CAT, headers=headers)
            return answer.status_code

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
def started(log: Path, wrapper: Sequence[str] = (), **environment: str) -> Iterator[Command]:
    command = Command(log, "gateway", environment=environment, wrapper=wrapper)
    try:
        yield command
    finally:
        command.end()


@asynccontextmanager
async def two_processes(
    folder: Path, wrapper: Sequence[str] = (), **environment: str
) -> AsyncIterator[House]:
    async with running() as fake:
        port = free_port()
        metrics = folder / "metrics"
        metrics.mkdir(exist_ok=True)
        usual = {
            "TMPDIR": str(metrics),
            "FCNSERVE_GATEWAY_PROCESSES": "2",
            "FCNSERVE_MAX_IN_FLIGHT": str(LIMIT),
            "FCNSERVE_PORT": str(port),
            "FCNSERVE_TORCHSERVE_URL": fake.components.segmenter.settings.torchserve_url,
            "FCNSERVE_LOG_FORMAT": "json",
        }
        with started(folder / "log", wrapper, **usual | environment) as command:
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
        await replaced(house)
        assert await house.value("fcnserve_image_pixels_count") == 4
        house.command.signal_group(signal.SIGINT)  # Ctrl-C in a terminal
        assert await asyncio.to_thread(house.command.wait) == 0
        await asyncio.to_thread(house.command.assert_gone)


async def test_a_keys_rate_holds_for_all_processes_and_outlives_them(tmp_path: Path) -> None:
    secret, key = make_key("camera-7")
    keys = tmp_path / "keys"
    keys.write_text(f"{key.line}\n")
    async with two_processes(
        tmp_path,
        FCNSERVE_API_KEYS_FILE=str(keys),
        FCNSERVE_KEY_RATE_PER_S="0.001",
        FCNSERVE_KEY_BURST="6",
    ) as house:
        headers = {"X-API-Key": secret}
        # over one connection, and so from one process, the whole burst can be had
        async with httpx.AsyncClient(base_url=house.url, verify=NO_TLS, headers=headers) as http:
            answers = [await http.post("/v1/segment", content=CAT) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert sorted([await house.segment(headers) for _ in range(8)]) == [200] + [429] * 7
        await replaced(house)
        assert {await house.segment(headers) for _ in range(8)} == {429}


async def test_a_process_that_is_replaced_while_the_keys_are_broken_agrees_with_the_other(
    tmp_path: Path,
) -> None:
    (secret, key), (gone, removed) = make_key(), make_key()
    keys = tmp_path / "keys"
    keys.write_text(f"{key.line}\n{removed.line}\n")
    async with two_processes(tmp_path, FCNSERVE_API_KEYS_FILE=str(keys)) as house:
        keys.write_text(f"{key.line}\nno key\n")
        await replaced(house)

        async def answers(secret: str) -> set[int]:
            return {await house.segment({"X-API-Key": secret}) for _ in range(12)}

        async def agree() -> bool:
            return await answers(gone) == {401}

        await until(agree, START_S)
        assert await answers(secret) == {200}
        keys.unlink()
        await replaced(house)

        async def are_closed() -> bool:
            return await answers(secret) == {401}

        await until(are_closed, START_S)
        assert house.command.process.poll() is None


# a namespace of its own, in which folders are as small as they would be on a full disk
SMALL = "mount -t tmpfs -o size=16k none {folder} && "


def small(*folders: str) -> list[str]:
    """A wrapper that runs a command where these folders have room for a few bytes."""
    script = "".join(SMALL.format(folder=folder) for folder in folders) + 'exec "$@"'
    wrapper = ["unshare", "--mount", "sh", "-c", script, "sh"]
    if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may mount nothing")
    return wrapper


async def test_a_full_temporary_folder_has_metrics_kept_in_memory(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    async with two_processes(tmp_path, small(str(metrics))) as house:
        for _ in range(4):
            assert await house.segment() == 200
        assert await house.value("fcnserve_image_pixels_count") == 4
        environ = Path(f"/proc/{house.children[0]}/environ").read_bytes().split(b"\0")
        (folder,) = (line for line in environ if line.startswith(b"PROMETHEUS_MULTIPROC_DIR="))
        kept_in = Path(folder.decode().partition("=")[2])
        assert kept_in.parent == Path(SHARED_MEMORY)
        assert list(kept_in.iterdir())
        house.command.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(house.command.wait) == 0
    assert not kept_in.exists()


async def test_without_room_anywhere_photos_are_served_and_metrics_are_not(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    async with running() as fake:
        url = fake.components.segmenter.settings.torchserve_url
        environment = {"FCNSERVE_TORCHSERVE_URL": url, "FCNSERVE_GATEWAY_PROCESSES": "2"}
        environment |= {"FCNSERVE_PORT": str(port := free_port()), "TMPDIR": str(metrics)}
        wrapper = small(str(metrics), SHARED_MEMORY)
        with started(tmp_path / "log", wrapper, **environment) as command:
            house = House(command, fake.torchserve, f"http://127.0.0.1:{port}", metrics)

            async def is_ready() -> bool:
                answer = await house.get("/readyz")
                return answer is not None and answer.status_code == 200

            await until(is_ready, START_S)
            assert {await house.segment() for _ in range(8)} == {200}
            assert not await lines_of(house, "fcnserve_requests")
            assert command.output().count("the gateway runs without metrics") == 1
            assert "died" not in command.output()


async def replaced(house: House) -> None:
    """Kill one process, and wait for another in its place."""
    killed = house.children[0]
    os.kill(killed, signal.SIGKILL)
    await until(lambda: len(house.children) == 2 and killed not in house.children, START_S)
    await until(house.ready, START_S)


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
