"""The metrics that a PromQL expression reads, and the metrics that exist.

Used by the tests of rules and dashboards.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry

from deploy.grafana.prometheus import Prometheus
from service.inference_address import InferenceAddress
from service.metrics.gateway import Metrics
from service.worker.gpu_metrics import GPU_GAUGES
from service.worker.liveness import LivenessProbe
from service.worker.process_metrics import WorkerCollector, WorkerProcesses

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules"
SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
STEP_S = 5
# metrics of Prometheus, prometheus_client and TorchServe; the latter's are in its metrics.yaml
EXTERNAL = {
    *("up", "ALERTS"),
    *("process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"),
    *("ts_inference_requests_total", "ts_queue_latency_microseconds"),
}

NO_METRICS = re.compile(
    r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]'  # strings, matchers, ranges
    r"|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
    r"|\b(?:and|or|unless|bool|offset)\b"
)
METRIC = re.compile(r"(?<![\w.:])[a-zA-Z_:][\w:]*+(?!\s*\()")


def metric_names(expr: str) -> set[str]:
    """Return the metrics that an expression selects; functions are followed by a bracket."""
    return set(METRIC.findall(NO_METRICS.sub(" ", expr)))


def known_metrics() -> set[str]:
    """Return every sample of gateway, worker and recording rules, and the external ones."""
    registry = CollectorRegistry()
    Metrics(registry)
    registry.register(
        WorkerCollector(
            WorkerProcesses(os.getpid()), 1, LivenessProbe(InferenceAddress("", 0), ["any"], 1)
        )
    )
    own = {family.name + ending for family in registry.collect() for ending in SAMPLES[family.type]}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    return own | recorded | {gauge.name for gauge in GPU_GAUGES} | EXTERNAL


def rules() -> Iterator[dict[str, Any]]:
    """Read every rule of the files, alerts and recordings."""
    for path in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def alerts() -> dict[str, dict[str, Any]]:
    """Return each alert's rule by its name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def has_data(prometheus: Prometheus, expr: str, start: float, end: float) -> bool:
    """Whether any series had a number at any time, up to the end: the last step is there, since a
    rule's only sample may be younger than a step.
    """
    steps = math.ceil((end - start) / STEP_S)
    found = prometheus.over(expr, end - steps * STEP_S, end, STEP_S)
    return any(series.has_data for series in found)
