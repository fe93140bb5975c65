"""The stage times of a request: milliseconds per pipeline verb, in the verbs' order.

Each stage adds its own; `service.api.telemetry` writes `Server-Timing` and the log from them, and
`service.metrics.gateway` the histograms.
"""

import time
from collections.abc import Mapping
from functools import lru_cache

TOTAL = "total"  # of a batch request: its images' verbs overlap
VERBS = ("read", "admit", "wait", "decode", "plan", "forward", "encode", "hold", "render")


class StageTimes:
    """One request's milliseconds by verb."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    def timing(self, verb: str) -> "Timing":
        """Return a block that adds the time spent inside to `verb`."""
        return Timing(self, verb)

    def add(self, verb: str, ms: float) -> None:
        self.ms[verb] = self.ms.get(verb, 0.0) + ms

    def add_upstream(self, total_ms: float, worker_ms: Mapping[str, float]) -> None:
        """Split the time of an upstream request: the part that the worker does not report is
        waiting.
        """
        times = self.ms
        for verb, ms in worker_ms.items():
            times[verb] = times.get(verb, 0.0) + ms
        self.add("wait", max(0.0, total_ms - sum(worker_ms.values())))

    def server_timing(self) -> str:
        """Write the `Server-Timing` header (W3C), in milliseconds."""
        return timing_template(frozenset(self.ms)) % self.ms


class Timing:
    """A block whose time is added to a verb."""

    __slots__ = ("_started_s", "_times", "_verb")

    def __init__(self, times: StageTimes, verb: str) -> None:
        self._times = times
        self._verb = verb

    def __enter__(self) -> None:
        self._started_s = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        times, verb = self._times.ms, self._verb
        times[verb] = times.get(verb, 0.0) + (time.perf_counter() - self._started_s) * 1000


@lru_cache(maxsize=256)
def timing_template(verbs: frozenset[str]) -> str:
    """Return the header of requests with these verbs, in the verbs' order, to be formatted."""
    return ", ".join(f"{verb};dur=%({verb}).2f" for verb in (*VERBS, TOTAL) if verb in verbs)
