"""Requests that come at their own rate, whatever becomes of those before (an open loop).

Runs in a process of its own. What the instrument adds is measured with it: how late a request was
sent, which is the delay of this process's event loop. Called by `loadtest.overload.run`.
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
from loadtest.traffic.concurrent_clients import PNG, TIMEOUT, Target

AHEAD = -10  # nice: the one who holds the stopwatch does not wait for a processor


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What is sent, and how fast."""

    photos: Sequence[bytes]
    lone_answers: Sequence[bytes]
    per_s: float
    seconds: float


@dataclass(slots=True)
class Seen:
    """What became of all of them; times are the client's, from before a connection is chosen."""

    sent: int = 0
    right_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)  # 429
    wrong: int = 0
    problems: Counter[str] = field(default_factory=Counter)  # by code; 429 among them
    losses: list[str] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0  # until the last answer
    cpu_s: float = 0.0
    is_ahead: bool = False


def arrive(target: Target, arrivals: Arrivals) -> Seen:
    """Send them all, and wait for every answer."""
    seen = Seen(is_ahead=get_ahead())
    cpu_before = time.process_time()
    uvloop.run(send_all(target, arrivals, seen))
    seen.cpu_s = time.process_time() - cpu_before
    return seen


def get_ahead() -> bool:
    """Take precedence over the service's processes; tell whether that is allowed."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, AHEAD)
    except PermissionError:
        return False
    return True


async def send_all(target: Target, arrivals: Arrivals, seen: Seen) -> None:
    count = round(arrivals.per_s * arrivals.seconds)
    pairs = cycle(zip(arrivals.photos, arrivals.lone_answers, strict=True))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=TIMEOUT, headers=target.headers
    ) as session:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number, (photo, right) in enumerate(islice(pairs, count)):
                due = started + number / arrivals.per_s
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                tasks.create_task(send(session, target.url, photo, right, due, seen))
        seen.seconds = time.perf_counter() - started


async def send(
    session: aiohttp.ClientSession, url: str, photo: bytes, right: bytes, due: float, seen: Seen
) -> None:
    started = time.perf_counter()
    seen.sent += 1
    seen.late_ms.append((started - due) * 1000)
    try:
        async with session.post(url, data=photo) as response:
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        seen.losses.append(repr(error))
        return
    ms = (time.perf_counter() - started) * 1000
    if response.status == HTTPStatus.OK and response.content_type == PNG:
        seen.right_ms.append(ms)
        seen.wrong += body != right
    elif response.content_type == PROBLEM_MEDIA_TYPE:
        problem: Mapping[str, str] = json.loads(body)
        seen.problems[problem["code"]] += 1
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            seen.refused_ms.append(ms)
    else:
        seen.losses.append(f"status {response.status}, {response.content_type}")
