"""An open loop of arrivals: photos and a rate in, the outcome of every request out.

Requests are sent at a fixed rate, independent of earlier answers, in a process of its own. The
delay with which each is sent, that of this process's event loop, is measured too. Called by
`loadtest.overload.run`.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import cycle, islice

import aiohttp
import uvloop

from handlers.shared.errors import PROBLEM_MEDIA_TYPE
from loadtest.traffic.concurrent_clients import PNG, TIMEOUT_S, Endpoint

NICENESS = -10  # so that the process which measures does not wait for a core


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The photos that are sent, and their rate."""

    photos: Sequence[bytes]
    reference_answers: Sequence[bytes]
    per_s: float
    seconds: float


@dataclass(slots=True)
class ArrivalResults:
    """The outcomes of all requests; times start before a connection is chosen."""

    sent: int = 0
    mask_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)  # 429
    wrong: int = 0
    problems: Counter[str] = field(default_factory=Counter)  # by code; 429 among them
    losses: list[str] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0  # until the last answer
    cpu_s: float = 0.0
    has_priority: bool = False


def send_arrivals(endpoint: Endpoint, arrivals: Arrivals) -> ArrivalResults:
    """Send all requests, and wait for every answer."""
    results = ArrivalResults(has_priority=raise_priority())
    cpu_before = time.process_time()
    uvloop.run(send_all(endpoint, arrivals, results))
    results.cpu_s = time.process_time() - cpu_before
    return results


def raise_priority() -> bool:
    """Run before the service's processes; returns whether the system permits that."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    except PermissionError:
        return False
    return True


async def send_all(endpoint: Endpoint, arrivals: Arrivals, results: ArrivalResults) -> None:
    count = round(arrivals.per_s * arrivals.seconds)
    pairs = cycle(zip(arrivals.photos, arrivals.reference_answers, strict=True))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(TIMEOUT_S),
        headers=endpoint.headers,
    ) as session:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number, (photo, reference) in enumerate(islice(pairs, count)):
                due = started + number / arrivals.per_s
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                tasks.create_task(send(session, endpoint.url, photo, reference, due, results))
        results.seconds = time.perf_counter() - started


async def send(
    session: aiohttp.ClientSession,
    url: str,
    photo: bytes,
    reference: bytes,
    due: float,
    results: ArrivalResults,
) -> None:
    started = time.perf_counter()
    results.sent += 1
    results.late_ms.append((started - due) * 1000)
    try:
        async with session.post(url, data=photo) as response:
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        results.losses.append(repr(error))
        return
    ms = (time.perf_counter() - started) * 1000
    if response.status == HTTPStatus.OK and response.content_type == PNG:
        results.mask_ms.append(ms)
        results.wrong += body != reference
    elif response.content_type == PROBLEM_MEDIA_TYPE:
        problem: Mapping[str, str] = json.loads(body)
        results.problems[problem["code"]] += 1
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            results.refused_ms.append(ms)
    else:
        results.losses.append(f"status {response.status}, {response.content_type}")
