"""A run: servers take turns, each started alone, and answer many clients, then one.

Names and photos in, figures out. One server at a time, since an idle one may use a core (LitServe's
loops poll). Every answer is checked: a PNG whose labels are not the photo's is a failure. Called by
`loadtest.front.run`.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from loadtest.benchmark.data_set import read_labels
from loadtest.front.data import FrontData
from loadtest.front.servers import FrontServer, start
from loadtest.measure.service_load import start_client_process
from loadtest.measure.statistics import percentile
from loadtest.measure.usage import cpu_s
from loadtest.peers.server import CORES, other_programs_cpu_s
from loadtest.traffic.concurrent_clients import run_clients
from loadtest.traffic.label_maps import LabelMap

Progress = Callable[[str], None]
WARM_UP_ANSWERS = 3000
WARM_UP_STEP_S, LONGEST_WARM_UP_S = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Terms:
    """The conditions of a run, the same for every server; all are written into the result."""

    servers: Sequence[str]
    set_name: str = "mix"
    images: int = 48
    clients: Sequence[int] = (
        16,
        64,
        1,
    )  # a single photo last: Java compiles for long after a start
    turns: int = 2
    seconds: float = 4.0  # of a slice
    warm_up_s: float = 4.0
    settings: Mapping[str, str] = field(default_factory=dict)  # of ours


@dataclass(frozen=True, slots=True)
class FrontSlice:
    """What one server did for so many clients in one turn."""

    masks: int
    failed: int  # other answers, none, or wrong labels
    seconds: float
    cpu_ms: Mapping[str, float]  # per mask, by role; the client's among them
    p50_ms: float | None
    p99_ms: float | None
    other_programs_share: float  # of all cores
    statuses: Mapping[int, int] = field(default_factory=dict)

    @property
    def masks_per_s(self) -> float:
        return self.masks / self.seconds


Slices = dict[str, dict[int, list[FrontSlice]]]  # by server and clients, one per turn


def run(data: FrontData, terms: Terms, progress: Progress) -> Slices:
    """Measure all servers, turn after turn; every second turn has the reverse order."""
    slices: Slices = {}
    with start_client_process() as client_process:
        for turn in range(terms.turns):
            for name in terms.servers[:: -1 if turn % 2 else 1]:
                with start(name, data, terms.settings) as servers:
                    for server in servers:
                        levels = slices.setdefault(server.name, {})
                        measure_turn(server, data, terms, client_process, levels, progress)
    return slices


def measure_turn(
    server: FrontServer,
    data: FrontData,
    terms: Terms,
    client_process: Executor,
    levels: dict[int, list[FrontSlice]],
    progress: Progress,
) -> None:
    """Warm a server up, and add a slice for each number of clients."""
    warm_up(server, data, terms, client_process)
    for clients in terms.clients:
        one = measure(server, data, clients, terms.seconds, client_process)
        levels.setdefault(clients, []).append(one)
        progress(f"{server.name}, {clients} clients: {slice_text(one)}")


def warm_up(server: FrontServer, data: FrontData, terms: Terms, client_process: Executor) -> None:
    """Load a server for its time, and until it has answered so often that Java has compiled what
    each request runs: on a busy machine that takes longer.
    """
    started, answers = time.monotonic(), 0
    while (passed_s := time.monotonic() - started) < LONGEST_WARM_UP_S:
        if passed_s >= terms.warm_up_s and answers >= WARM_UP_ANSWERS:
            return
        one = measure(server, data, max(terms.clients), WARM_UP_STEP_S, client_process)
        answers += sum(one.statuses.values())


def slice_text(one: FrontSlice) -> str:
    cpu = ", ".join(f"{role} {ms:.2f}" for role, ms in one.cpu_ms.items())
    failed = f", {one.failed} failed {dict(one.statuses)}" if one.failed else ""
    return (
        f"{one.masks_per_s:.0f} masks/s, p50 {one.p50_ms or 0:.2f} ms, p99 {one.p99_ms or 0:.1f} ms"
        f"; CPU ms a mask: {cpu}; other programs {100 * one.other_programs_share:.0f} %{failed}"
    )


def measure(
    server: FrontServer, data: FrontData, clients: int, seconds: float, client_process: Executor
) -> FrontSlice:
    """Send complete rounds of photos, and check every answer."""
    before, others_s = cpu_s_by_role(server), other_programs_cpu_s()
    results = client_process.submit(
        run_clients, server.endpoint, list(data.photos), clients, seconds
    ).result()
    after, others_s = cpu_s_by_role(server), other_programs_cpu_s() - others_s
    masks, wrong = len(results.latencies_ms), count_wrong(results.answers, data.expected)
    used_s = {role: each - before.get(role, 0.0) for role, each in after.items()}
    used_s["client"] = results.cpu_s
    ordered = sorted(ms for _, ms in results.latencies_ms)
    return FrontSlice(
        masks=masks - wrong,
        failed=results.failed + wrong,
        seconds=results.seconds,
        cpu_ms={role: 1000 * each / max(1, masks) for role, each in used_s.items()},
        p50_ms=percentile(ordered, 50),
        p99_ms=percentile(ordered, 99),
        other_programs_share=max(0.0, others_s) / results.seconds / CORES,
        statuses=dict(results.statuses),
    )


def cpu_s_by_role(server: FrontServer) -> dict[str, float]:
    return {role: sum(map(cpu_s, pids)) for role, pids in server.pids().items()}


def count_wrong(answers: Mapping[int, Counter[bytes]], expected: Sequence[LabelMap]) -> int:
    """Count the answers whose labels are not their photo's; each distinct body is read once."""
    return sum(
        times
        for index, bodies in answers.items()
        for body, times in bodies.items()
        if not np.array_equal(read_labels(body), expected[index])
    )
