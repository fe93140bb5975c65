"""Where the milliseconds of a single photo go: from one process to the next, on one clock.

A running service with stamps in client, gateway and worker, whose files are the benchmark's own
(`loadtest.front.stamped_gateway`, `loadtest.front.stamped_worker`); photos one at a time. Out: each
hop's times. Called by `loadtest.front.run`.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import uvloop

from loadtest.front.archive import pack_null
from loadtest.front.data import FrontData
from loadtest.front.stamped_gateway import CLIENT, TORCHSERVE, got_from, wrote_to
from loadtest.front.stamped_worker import ANSWERED, BEGINS, ENDS, GOT
from loadtest.front.stamps import STAMPS_FILE, open_stamps, read_stamps
from loadtest.measure.service import GATEWAY, PROGRAM, start_store
from loadtest.measure.statistics import percentile
from loadtest.report.markdown import fact_list, number, table
from loadtest.report.result_files import write_result
from loadtest.traffic.concurrent_clients import Endpoint
from loadtest.traffic.connection import request_bytes

SENT, RECEIVED = "client sent", "client got the answer"
FIRST, LAST = 0, -1
Stamps = Sequence[tuple[int, str]]  # nanoseconds, event
Edge = tuple[str, int]  # an event, and which of several
HOPS: Mapping[str, tuple[Edge, Edge]] = {
    "client to gateway": ((SENT, FIRST), (got_from(CLIENT), FIRST)),
    "gateway, body arrives": ((got_from(CLIENT), FIRST), (got_from(CLIENT), LAST)),
    "gateway, until it sends": ((got_from(CLIENT), LAST), (wrote_to(TORCHSERVE), LAST)),
    "Java, until the worker has the batch": ((wrote_to(TORCHSERVE), LAST), (GOT, LAST)),
    "worker, until its handler runs": ((GOT, LAST), (BEGINS, LAST)),
    "worker, handler": ((BEGINS, LAST), (ENDS, LAST)),
    "worker, sends": ((ENDS, LAST), (ANSWERED, LAST)),
    "Java, until the gateway has the answer": ((ANSWERED, LAST), (got_from(TORCHSERVE), FIRST)),
    "gateway, answer arrives": ((got_from(TORCHSERVE), FIRST), (got_from(TORCHSERVE), LAST)),
    "gateway, until it answers": ((got_from(TORCHSERVE), LAST), (wrote_to(CLIENT), FIRST)),
    "gateway to client": ((wrote_to(CLIENT), FIRST), (RECEIVED, FIRST)),
}
TOTAL = "all"
ROUNDS, WARM_UP_ROUNDS = 10, 40
PROGRAM_MODULE = "loadtest.front.stamped_gateway"


@dataclass(frozen=True, slots=True)
class Hop:
    """One part of the way: milliseconds of every photo."""

    name: str
    ms: Sequence[float]


def measure_hops(data: FrontData, settings: Mapping[str, str]) -> list[Hop]:
    """Start ours with stamps, and send photos one at a time."""
    with ExitStack() as stack:
        store = Path(stack.enter_context(TemporaryDirectory(prefix="fcnserve-front-", dir="/tmp")))
        stamps = store / "stamps"
        os.environ[STAMPS_FILE] = str(stamps)
        stack.callback(os.environ.pop, STAMPS_FILE)
        model = pack_null(data.folder, store, with_stamps=True)
        programs = {GATEWAY: [*PROGRAM, PROGRAM_MODULE]}
        service = stack.enter_context(start_store(store, model, settings, programs))
        uvloop.run(send_alone(service.endpoints[GATEWAY], data.photos, WARM_UP_ROUNDS, stamps))
        stamps.write_text("")  # all its writers append
        uvloop.run(send_alone(service.endpoints[GATEWAY], data.photos, ROUNDS, stamps))
        return hops_of(split_requests(read_stamps(stamps)))


async def send_alone(endpoint: Endpoint, photos: Sequence[bytes], rounds: int, path: Path) -> None:
    """Send each photo so many times, one after the other."""
    stamp = open_stamps(str(path))
    requests = [request_bytes(endpoint.url, endpoint.headers, photo) for photo in photos]
    connection = await endpoint.connect()
    for request in requests * rounds:
        stamp(SENT)
        await connection.send(request)
        stamp(RECEIVED)
    connection.close()


def split_requests(stamps: Stamps) -> list[dict[str, list[int]]]:
    """Return each request's times by event; one that others ran beside (probes) is left out."""
    requests: list[dict[str, list[int]]] = []
    for ns, event in stamps:
        if event == SENT:
            requests.append({})
        if requests:
            requests[-1].setdefault(event, []).append(ns)
    events = {edge[0] for edges in HOPS.values() for edge in edges}
    single = (GOT, BEGINS, ENDS)
    return [
        each
        for each in requests
        if events <= each.keys() and all(len(each[event]) == 1 for event in single)
    ]


def hops_of(requests: Sequence[Mapping[str, Sequence[int]]]) -> list[Hop]:
    """Return the times of all hops, and their sum."""

    def ms(edges: tuple[Edge, Edge], times: Mapping[str, Sequence[int]]) -> float:
        (begin, which), (end, which_end) = edges
        return (times[end][which_end] - times[begin][which]) / 1e6

    every = {**HOPS, TOTAL: ((SENT, FIRST), (RECEIVED, FIRST))}
    return [Hop(name, [ms(edges, each) for each in requests]) for name, edges in every.items()]


def save_hops(hops: Sequence[Hop], facts: Mapping[str, object], stem: Path) -> str:
    """Write STEM.md and STEM.json; returns the page."""
    rows = [
        (hop.name, *(number(percentile(sorted(hop.ms), at), 3) for at in (10, 50, 90)))
        for hop in hops
    ]
    headings = ("hop", "p10 ms", "p50 ms", "p90 ms")
    parts = [
        "# The way of a single photo",
        fact_list(facts),
        table(rows, headings, ("hop",)),
        NOTES,
    ]
    page = "\n\n".join(parts)
    medians = {hop.name: median(hop.ms) for hop in hops}
    write_result(stem, page, {"facts": dict(facts), "p50_ms": medians})
    return page


NOTES = """\
Made by `python -m loadtest.front.run --hops`: the network costs nothing, one photo is in the
service at a time. Stamps are those of the system's monotonic clock when a process gets bytes from a
socket or gives them to it; each takes some microseconds, which is in the figures.
"""
