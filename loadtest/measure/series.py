"""A run second by second: what was due in each and what became of it, and memory meanwhile."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from loadtest.measure.gauges import Gauges
from loadtest.traffic.record import REFUSED, RIGHT, Row

SETTLING_SHARE = 6  # of the run, one part in so many


def series_of(rows: Sequence[Row], gauges: Gauges, begun: float, seconds: int) -> dict[str, Any]:
    """Lists of equal length, one value a second; memory has times of its own."""
    due: list[list[Row]] = [[] for _ in range(seconds)]
    for row in rows:
        if 0 <= (second := int(row.due - begun)) < seconds:
            due[second].append(row)
    right_ms = [sorted(row.ms for row in each if row.outcome == RIGHT) for each in due]
    refused = [sum(row.outcome.startswith(REFUSED) for row in each) for each in due]
    looks = [gauge for gauge in gauges.seen if gauge.at >= begun]
    return {
        "second": list(range(seconds)),
        "due": [len(each) for each in due],
        "right": [len(each) for each in right_ms],
        "refused": refused,
        "failed": [
            len(all_) - len(right) - turned_away
            for all_, right, turned_away in zip(due, right_ms, refused, strict=True)
        ],
        "p50_ms": [round(median(each), 1) if each else None for each in right_ms],
        "max_ms": [each[-1] if each else None for each in right_ms],
        "looked_at_s": [round(look.at - begun, 1) for look in looks],
        "resident_mb": {
            name: [round(look.resident_mb[name], 1) for look in looks]
            for name in (looks[0].resident_mb if looks else ())
        },
    }


def early_and_late(values: Sequence[float]) -> tuple[float, float]:
    """Compare a tenth of the values, once the run is under way, with the last tenth."""
    settled = values[len(values) // SETTLING_SHARE :]
    some = max(1, len(values) // 10)
    return median(settled[:some]), median(settled[-some:])
