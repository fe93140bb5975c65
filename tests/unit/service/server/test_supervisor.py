"""Real gateway processes under one supervisor: one port, common metrics, one stop."""

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
from aiohttp import web

from service.auth.keys import make_key
from service.metrics.files import SHARED_MEMORY
from tests.support.fakes import CAT, NO_TLS, FakeTorchServe, Fault, running, until
from tests.support.ports import free_port
from tests.support.server import Command

START_S = 60.0
LOST = 0


@dataclass(frozen=True)
class TwoProcesses:
    """A supervisor with two gateway processes, and the fake TorchServe."""

    command: Command
    torchserve: FakeTorchServe
    url: str
    metrics: Path  # the folder of their metrics

    async def segment(self, headers: Mapping[str, str] | None = None) -> int:
        """Send a photo over a new connection, which any process may accept; LOST where that process
        ends before it answers.
        """
        async with httpx.AsyncClient(base_url=self.url, verify=NO_TLS, timeout=60) as http:
            try:
                answer = await http.post("/v1/segment", content=CAT, headers=headers)
            except httpx.TransportError:
                return LOST
            return answer.status_code

    async def get(self, path: str) -> httpx.Response | None:
        async with httpx.AsyncClient(base_url=self.url, verify=NO_TLS, timeout=30) as http:
            try:
                return await http.get(path)
            except httpx.TransportError:
                return None

    async def value(self, sample: str) -> float:
        """Return the value of a sample, named with its labels, in a scrape of any process."""
        answer = await self.get("/metrics")
        lines = answer.text.splitlines() if answer else []
        values = [float(line.split()[-1]) for line in lines if line.startswith(f"{sample} ")]
        assert len(values) <= 1, values
        return values[0] if values else float("nan")

    async def ready(self) -> bool:
        """Return whether both processes are ready: the gauge is the minimum of all."""
        assert self.command.process.poll() is None, self.command.output()
        listening = [await self.value(f'{STARTED}{{process="{index}"}}') > 0 for index in range(2)]
        return all(listening) and await self.value("fcnserve_ready") == 1

    async def is_closed(self) -> bool:
        """Return whether the port is closed."""
        return await self.get("/livez") is None

    @property
    def processes(self) -> list[int]:
        return self.command.pids_of("spawn_main")


LIMIT = 3
STARTED = "process_start_time_seconds"


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
) -> AsyncIterator[TwoProcesses]:
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
            gateways = TwoProcesses(command, fake.torchserve, f"http://127.0.0.1:{port}", metrics)
            await until(gateways.ready, START_S)
            yield gateways


async def test_metrics_are_summed_limits_are_shared_and_no_file_is_left(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as gateways:
        assert len(gateways.processes) == 2

        # each process answers a scrape with the sums of both
        for _ in range(10):
            assert await gateways.segment() == 200
        answered = 'fcnserve_requests_total{code="",route="/v1/segment",status="200"}'
        for _ in range(6):
            assert await gateways.value(answered) == 10
            assert await gateways.value("fcnserve_image_pixels_count") == 10
            assert (
                await gateways.value(
                    'fcnserve_stage_duration_seconds_count{model="fcn8s-lite2",stage="wait"}'
                )
                == 10
            )
        (model,) = await lines_of(gateways, "fcnserve_model_info")
        assert 'name="fcn8s-lite2"' in model
        (build,) = await lines_of(gateways, "fcnserve_build_info")
        assert build.endswith(" 1.0")

        # of the operating system's, each has its own
        for name in ("process_resident_memory_bytes", "process_open_fds", STARTED):
            lines = await lines_of(gateways, f"{name}{{")
            assert [line.split('"')[1] for line in lines] == ["0", "1", "supervisor"]
            assert all(float(line.split()[-1]) > 0 for line in lines)
        assert len(await lines_of(gateways, "process_cpu_seconds_total{")) == 3
        assert await lines_of(gateways, "python_info")

        # a permit is any process's, and none has more
        async with asyncio.timeout(START_S), asyncio.TaskGroup() as group:
            held = await hold_all_permits(gateways, group)
            assert {await gateways.segment() for _ in range(6)} == {429}
            assert await gateways.value("fcnserve_images_in_flight") == LIMIT
            assert await gateways.value("fcnserve_in_flight_limit") == LIMIT
            gateways.torchserve.released.set()
        assert {one.result() for one in held} == {200}
        assert await gateways.value("fcnserve_images_in_flight") == 0

        # a request in flight at the stop gets its answer, and new connections are refused
        gateways.torchserve.released.clear()
        before = len(gateways.torchserve.photos)
        last = asyncio.create_task(gateways.segment())
        await until(lambda: len(gateways.torchserve.photos) > before)
        gateways.command.process.send_signal(signal.SIGTERM)
        await until(gateways.is_closed)
        gateways.torchserve.released.set()
        assert await last == 200
        assert await asyncio.to_thread(gateways.command.wait) == 0
        await asyncio.to_thread(gateways.command.assert_gone)
        assert list(gateways.metrics.iterdir()) == []
        log = gateways.command.output()
        assert all(isinstance(json.loads(line), dict) for line in log.splitlines())


def photos_hang(torchserve: FakeTorchServe) -> Fault:
    """No answer to photos until `released` is set; liveness probes and cards are answered."""

    async def fault(request: web.Request) -> web.StreamResponse:
        call = torchserve.calls[-1]
        if not call.is_card_request and not call.is_liveness_probe:
            await torchserve.released.wait()
        return await torchserve.answered(request)

    return fault


async def hold_all_permits(
    gateways: TwoProcesses, group: asyncio.TaskGroup, held: int = 0
) -> list[asyncio.Task[int]]:
    """Send the photos that still get a permit, and have TorchServe not answer them."""
    gateways.torchserve.fault = photos_hang(gateways.torchserve)
    sent = [group.create_task(gateways.segment()) for _ in range(LIMIT - held)]

    async def all_are_held() -> bool:
        return await gateways.value("fcnserve_images_in_flight") == LIMIT

    await until(all_are_held, START_S)
    return sent


async def lines_of(gateways: TwoProcesses, name: str) -> list[str]:
    answer = await gateways.get("/metrics")
    assert answer
    return [line for line in answer.text.splitlines() if line.startswith(name)]


async def test_a_killed_process_is_replaced_and_its_counts_stay(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as gateways:
        for _ in range(4):
            assert await gateways.segment() == 200
        # what a process has counted in its last milliseconds dies with it
        assert await gateways.value("fcnserve_image_pixels_count") == 4
        await replaced(gateways)
        assert await gateways.value("fcnserve_image_pixels_count") == 4
        gateways.command.signal_group(signal.SIGINT)  # Ctrl-C in a terminal
        assert await asyncio.to_thread(gateways.command.wait) == 0
        await asyncio.to_thread(gateways.command.assert_gone)


async def test_permits_of_killed_processes_are_free_again_and_the_others_answers_arrive(
    tmp_path: Path,
) -> None:
    async with two_processes(tmp_path) as gateways, asyncio.TaskGroup() as group:
        held = await hold_all_permits(gateways, group)
        for killed in gateways.processes:
            await replaced(gateways, killed)
            lost = [one for one in held if one.done()]
            assert {one.result() for one in lost} <= {LOST}
            held = [one for one in held if not one.done()]
            assert await gateways.value("fcnserve_images_in_flight") == len(held)
            held += await hold_all_permits(gateways, group, len(held))
            assert await gateways.segment() == 429
        gateways.torchserve.released.set()
        assert {await one for one in held} == {200}


async def test_a_keys_rate_applies_to_all_processes_and_outlives_them(tmp_path: Path) -> None:
    secret, key = make_key("camera-7")
    keys = tmp_path / "keys"
    keys.write_text(f"{key.line}\n")
    async with two_processes(
        tmp_path,
        FCNSERVE_API_KEYS_FILE=str(keys),
        FCNSERVE_KEY_RATE_PER_S="0.001",
        FCNSERVE_KEY_BURST="6",
    ) as gateways:
        headers = {"X-API-Key": secret}
        # one connection, and so one process, may use all of the burst
        async with httpx.AsyncClient(base_url=gateways.url, verify=NO_TLS, headers=headers) as http:
            answers = [await http.post("/v1/segment", content=CAT) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert sorted([await gateways.segment(headers) for _ in range(8)]) == [200] + [429] * 7
        await replaced(gateways)
        assert {await gateways.segment(headers) for _ in range(8)} == {429}


async def test_a_process_that_starts_with_a_broken_keys_file_agrees_with_the_other(
    tmp_path: Path,
) -> None:
    (secret, key), (removed_secret, removed) = make_key(), make_key()
    keys = tmp_path / "keys"
    keys.write_text(f"{key.line}\n{removed.line}\n")
    async with two_processes(tmp_path, FCNSERVE_API_KEYS_FILE=str(keys)) as gateways:
        keys.write_text(f"{key.line}\nno key\n")
        await replaced(gateways)

        async def answers(secret: str) -> set[int]:
            return {await gateways.segment({"X-API-Key": secret}) for _ in range(12)}

        async def both_refuse() -> bool:
            return await answers(removed_secret) == {401}

        await until(both_refuse, START_S)
        assert await answers(secret) == {200}
        keys.unlink()
        await replaced(gateways)

        async def both_refuse_all() -> bool:
            return await answers(secret) == {401}

        await until(both_refuse_all, START_S)
        assert gateways.command.process.poll() is None


# a mount namespace in which folders are as small as on a full disk
SMALL = "mount -t tmpfs -o size=16k none {folder} && "


def small(*folders: str) -> list[str]:
    """Return a wrapper that runs a command with room for a few bytes in these folders."""
    script = "".join(SMALL.format(folder=folder) for folder in folders) + 'exec "$@"'
    wrapper = ["unshare", "--mount", "sh", "-c", script, "sh"]
    if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount")
    return wrapper


async def test_with_a_full_temporary_folder_metrics_are_kept_in_memory(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    async with two_processes(tmp_path, small(str(metrics))) as gateways:
        for _ in range(4):
            assert await gateways.segment() == 200
        assert await gateways.value("fcnserve_image_pixels_count") == 4
        environ = Path(f"/proc/{gateways.processes[0]}/environ").read_bytes().split(b"\0")
        (folder,) = (line for line in environ if line.startswith(b"PROMETHEUS_MULTIPROC_DIR="))
        kept_in = Path(folder.decode().partition("=")[2])
        assert kept_in.parent == Path(SHARED_MEMORY)
        assert list(kept_in.iterdir())
        gateways.command.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(gateways.command.wait) == 0
    assert not kept_in.exists()


async def test_without_any_room_for_metrics_photos_are_served(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    async with running() as fake:
        url = fake.components.segmenter.settings.torchserve_url
        environment = {"FCNSERVE_TORCHSERVE_URL": url, "FCNSERVE_GATEWAY_PROCESSES": "2"}
        environment |= {"FCNSERVE_PORT": str(port := free_port()), "TMPDIR": str(metrics)}
        wrapper = small(str(metrics), SHARED_MEMORY)
        with started(tmp_path / "log", wrapper, **environment) as command:
            gateways = TwoProcesses(command, fake.torchserve, f"http://127.0.0.1:{port}", metrics)

            async def is_ready() -> bool:
                answer = await gateways.get("/readyz")
                return answer is not None and answer.status_code == 200

            await until(is_ready, START_S)
            assert {await gateways.segment() for _ in range(8)} == {200}
            assert not await lines_of(gateways, "fcnserve_requests")
            assert command.output().count("the gateway runs without metrics") == 1
            assert "died" not in command.output()


async def replaced(gateways: TwoProcesses, killed: int = 0) -> None:
    """Kill one process, and wait for its replacement."""
    killed = killed or gateways.processes[0]
    os.kill(killed, signal.SIGKILL)
    await until(lambda: len(gateways.processes) == 2 and killed not in gateways.processes, START_S)
    await until(gateways.ready, START_S)


async def test_processes_end_with_their_supervisor(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as gateways:
        gateways.command.process.kill()
        await asyncio.to_thread(gateways.command.assert_gone)


async def test_a_port_in_use_is_an_error(tmp_path: Path) -> None:
    async with running() as gateway:
        with started(
            tmp_path / "log", FCNSERVE_GATEWAY_PROCESSES="2", FCNSERVE_PORT=str(gateway.port)
        ) as command:
            assert await asyncio.to_thread(command.wait) != 0
            assert "Address already in use" in command.output()
            assert list(command.processes()) == []


@pytest.mark.parametrize("processes", ["0", "65", "two"])
def test_an_invalid_number_of_processes_is_an_error(tmp_path: Path, processes: str) -> None:
    with started(tmp_path / "log", FCNSERVE_GATEWAY_PROCESSES=processes) as command:
        assert command.wait() == 2
        assert f"FCNSERVE_GATEWAY_PROCESSES={processes}" in command.output()
