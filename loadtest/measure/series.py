"""A run second by second: the requests that were due in each second, their outcomes, and memory.

Logged requests and process samples in, lists out. Called by `loadtest.capacity.locust_run`; the
comparison of early and late values also by `loadtest.overload.figures`.
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

from loadtest.measure.process_sampler import ProcessSamples
from loadtest.traffic.request_log import CORRECT, REFUSED, LoggedRequest

SETTLING_SHARE = 6  # of the run, one part in so many


def series_of(
    requests: Sequence[LoggedRequest], processes: ProcessSamples, begun: float, seconds: int
) -> dict[str, Any]:
    """Return lists of equal length, one value per second; memory has its own times."""
    due: list[list[LoggedRequest]] = [[] for _ in range(seconds)]
    for request in requests:
        if 0 <= (second := int(request.due - begun)) < seconds:
            due[second].append(request)
    correct_ms = [
        sorted(request.ms for request in each if request.outcome == CORRECT) for each in due
    ]
    refused = [sum(request.outcome.startswith(REFUSED) for request in each) for each in due]
    samples = [sample for sample in processes.samples if sample.at >= begun]
    return {
        "second": list(range(seconds)),
        "due": [len(each) for each in due],
        "correct": [len(each) for each in correct_ms],
        "refused": refused,
        "failed": [
            len(all_) - len(correct) - refusals
            for all_, correct, refusals in zip(due, correct_ms, refused, strict=True)
        ],
        "p50_ms": [round(median(each), 1) if each else None for each in correct_ms],
        "max_ms": [each[-1] if each else None for each in correct_ms],
        "sampled_at_s": [round(sample.at - begun, 1) for sample in samples],
        "resident_mb": {
            name: [round(sample.resident_mb[name], 1) for sample in samples]
            for name in (samples[0].resident_mb if samples else ())
        },
    }


def settled(values: Sequence[float]) -> Sequence[float]:
    """Leave out the values from before the run has settled."""
    return values[len(values) // SETTLING_SHARE :]


def early_and_late(values: Sequence[float]) -> tuple[float, float]:
    """Return the medians of the first and the last tenth of the values after settling."""
    tenth = max(1, len(values) // 10)
    return median(settled(values)[:tenth]), median(settled(values)[-tenth:])
