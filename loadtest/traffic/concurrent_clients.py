"""Concurrent clients in one process (a closed loop): photos in, answers and latencies out.

Each client keeps its connection and sends its next photo as soon as it has the answer to the last.
`loadtest.measure.service_load`, `loadtest.overload.run`, `loadtest.crosscheck.programs` and
`loadtest.peers.server` run it in a process of its own; TorchServe, the gateway and other servers
differ in their `Endpoint` alone.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp
import uvloop

PNG = "image/png"
TIMEOUT = aiohttp.ClientTimeout(total=120)

ReadMask = Callable[[Mapping[str, str], bytes], bytes | None]  # headers, body


def read_png(headers: Mapping[str, str], body: bytes) -> bytes | None:
    """Return the body of a PNG answer; None for any other answer."""
    return body if headers.get("Content-Type") == PNG else None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL that takes photos, the header of its answers that reports stage times, and the function
    that takes the mask out of an answer.
    """

    url: str
    headers: Mapping[str, str]
    report_header: str
    read_mask: ReadMask = read_png


@dataclass(slots=True)
class ClientResults:
    """The answers that all clients got; every field but `failed` covers masks alone."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    latencies_ms: list[tuple[int, float]] = field(default_factory=list)  # photo index, ms
    reports: list[str] = field(default_factory=list)
    answers: dict[int, Counter[bytes]] = field(default_factory=dict)  # by photo index
    failed: int = 0


def run_clients(
    endpoint: Endpoint, photos: list[bytes], clients: int, seconds: float
) -> ClientResults:
    """Send complete rounds of `photos` until `seconds` have passed."""
    cpu_before = time.process_time()
    results = uvloop.run(send_all(endpoint, photos, clients, seconds))
    results.cpu_s = time.process_time() - cpu_before
    return results


async def send_all(
    endpoint: Endpoint, photos: list[bytes], clients: int, seconds: float
) -> ClientResults:
    results = ClientResults()
    indices = complete_rounds(len(photos), seconds)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=clients), timeout=TIMEOUT, headers=endpoint.headers
    ) as session:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(clients):
                tasks.create_task(run_client(session, endpoint, photos, indices, results))
        results.seconds = time.perf_counter() - started
    return results


def complete_rounds(photos: int, seconds: float) -> Iterator[int]:
    """Yield photo indices round after round; the last round ends after `seconds`."""
    ends = time.perf_counter() + seconds
    while True:
        yield from range(photos)
        if time.perf_counter() >= ends:
            return


async def run_client(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    photos: list[bytes],
    indices: Iterator[int],
    results: ClientResults,
) -> None:
    for index in indices:
        started = time.perf_counter()
        async with session.post(endpoint.url, data=photos[index]) as response:
            body = await response.read()
        ms = (time.perf_counter() - started) * 1000
        is_ok = response.status == HTTPStatus.OK
        mask = endpoint.read_mask(response.headers, body) if is_ok else None
        if mask:
            results.latencies_ms.append((index, ms))
            results.answers.setdefault(index, Counter())[mask] += 1
            results.reports.append(response.headers.get(endpoint.report_header, ""))
        else:
            results.failed += 1
