"""Metrics of the gateway's own processes where there are several: those that prometheus_client has
of one (`process_*`), each labelled with its process.

Ids come in, samples go out, read from the operating system at each scrape. Registered by
`service.server.gateway_process`, for whichever process answers the scrape.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector


class ProcessesCollector(Collector):
    """What ProcessCollector reads of one process, of all: processor time, memory, open files."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        """Take a function that returns the ids of the present processes, by label."""
        self._pids = pids

    def collect(self) -> Iterable[Metric]:
        """Read all processes that run."""
        families: dict[str, Metric] = {}
        for process, pid in self._pids().items():
            for metric in metrics_of(pid):
                family = families.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type)
                )
                for sample in metric.samples:
                    family.add_sample(sample.name, {"process": process}, sample.value)
        return families.values()


def metrics_of(pid: int) -> Iterable[Metric]:
    """Read one process; nothing where it has just ended."""
    return ProcessCollector(pid=lambda: pid, registry=None).collect()
