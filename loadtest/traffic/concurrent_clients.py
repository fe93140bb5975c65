"""Concurrent clients in one process (a closed loop): photos in, answers and latencies out.

Each client keeps its connection and sends its next photo as soon as it has the answer to the last.
`loadtest.measure.service_load`, `loadtest.overload.run`, `loadtest.crosscheck.programs`,
`loadtest.peers.server` and `loadtest.front.turns` run it in a process of its own; TorchServe, the
gateway and other servers differ in their `Endpoint` alone.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import uvloop

from loadtest.traffic.connection import Connection, ConnectionLostError, HttpAnswer, request_bytes

PNG = "image/png"
TIMEOUT_S = 120  # of the last answers

ReadMask = Callable[[Mapping[str, str], bytes], bytes | None]  # headers by lower case, body


def read_png(headers: Mapping[str, str], body: bytes) -> bytes | None:
    """Return the body of a PNG answer; None for any other answer."""
    return body if headers.get("content-type") == PNG else None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL that takes photos, the header of its answers that reports stage times, and the function
    that takes the mask out of an answer.
    """

    url: str
    headers: Mapping[str, str]
    report_header: str
    read_mask: ReadMask = read_png
    socket_path: str = ""  # of a server that listens there, not on the URL's port

    async def connect(self) -> Connection:
        """Open a connection; raises OSError."""
        return await Connection.to(self.url, self.socket_path)


@dataclass(slots=True)
class ClientResults:
    """The answers that all clients got; every field but the last two covers masks alone."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    latencies_ms: list[tuple[int, float]] = field(default_factory=list)  # photo index, ms
    reports: list[str] = field(default_factory=list)
    answers: dict[int, Counter[bytes]] = field(default_factory=dict)  # by photo index
    failed: int = 0
    statuses: Counter[int] = field(default_factory=Counter)  # of all answers

    def add(self, index: int, ms: float, answer: HttpAnswer, endpoint: Endpoint) -> None:
        """Record an answer."""
        self.statuses[answer.status] += 1
        is_ok = answer.status == HTTPStatus.OK
        mask = endpoint.read_mask(answer.headers, answer.body) if is_ok else None
        if mask:
            self.latencies_ms.append((index, ms))
            self.answers.setdefault(index, Counter())[mask] += 1
            self.reports.append(answer.headers.get(endpoint.report_header.lower(), ""))
        else:
            self.failed += 1


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
    """Raises TimeoutError where answers are missing long after the end, and OSError where the
    server cannot be connected to.
    """
    results = ClientResults()
    requests = [request_bytes(endpoint.url, endpoint.headers, photo) for photo in photos]
    indices = complete_rounds(len(photos), seconds)
    started = time.perf_counter()
    async with asyncio.timeout(seconds + TIMEOUT_S), asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(run_client(endpoint, requests, indices, results))
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
    endpoint: Endpoint, requests: Sequence[bytes], indices: Iterator[int], results: ClientResults
) -> None:
    connection = await endpoint.connect()
    for index in indices:
        started = time.perf_counter()
        try:
            answer = await connection.send(requests[index])
        except ConnectionLostError:
            results.failed += 1
            connection = await endpoint.connect()
            continue
        results.add(index, (time.perf_counter() - started) * 1000, answer, endpoint)
        if answer.is_last:
            connection.close()
            connection = await endpoint.connect()
    connection.close()
