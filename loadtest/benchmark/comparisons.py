"""The comparisons of a benchmark: the service with bare loops, ours with other strategies.

A result in, ratios and differences out. Called by `loadtest.benchmark.report`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from loadtest.benchmark.candidates import NETWORK, ONE_AT_A_TIME, PIPELINE, STREAM
from loadtest.benchmark.ratios import added_ms, lowest_ratio, paired_ratio
from loadtest.benchmark.result import Result, SetResult
from loadtest.benchmark.strategies import GROUPINGS, ONE_BY_ONE, OURS
from loadtest.measure.service import GATEWAY, JAVA
from loadtest.measure.slices import Slice, TimedPhoto

images_per_s = attrgetter("images_per_s")

masks_per_cpu_s = attrgetter("masks_per_cpu_s")

valid_pixels_per_s = attrgetter("valid_pixels_per_s")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure of one row relative to another's; of several others, `against` is the best."""

    what: str
    against: str
    value: float | None


def compare(result: Result, set_name: str) -> list[Comparison]:
    """Compare strategies by the median over rounds, since rounds can differ widely."""
    slices = result.sets[set_name].slices
    found = []
    for level in (NETWORK, PIPELINE):
        others = {name: slices[level, name] for name in GROUPINGS}
        best, value = lowest_ratio(images_per_s, slices[level, OURS], others)
        found.append(Comparison(f"images/s, {level}, ours", best, value))
    if (GATEWAY, OURS) in slices:
        found += compare_served(result.sets[set_name])
    if set_name != "one" and "one" in result.sets:
        one_size = result.sets["one"].slices
        found += [
            Comparison(
                f"valid Mpx/s, {level}, ours",
                "one size",
                paired_ratio(valid_pixels_per_s, slices[level, name], one_size[level, name]),
            )
            for level, name in slices
            if name == OURS
        ]
    return found


def compare_served(found: SetResult) -> list[Comparison]:
    """Compare the service with the best strategy in a single process."""
    slices = found.slices
    served = slices[GATEWAY, OURS]
    bare = {name: slices[PIPELINE, name] for name in (*GROUPINGS, OURS, STREAM)}
    by_cpu, cpu_ratio = lowest_ratio(masks_per_cpu_s, served, bare)
    by_time, time_ratio = lowest_ratio(images_per_s, served, bare)
    one_by_one_ratio = paired_ratio(masks_per_cpu_s, served, bare[ONE_BY_ONE])
    bare_ms, served_ms = (latencies(slices[level, ONE_AT_A_TIME]) for level in (PIPELINE, GATEWAY))
    cpu_ms = found.rows[GATEWAY, OURS].cpu_ms_per_mask_by_process
    return [
        Comparison("masks per CPU s, gateway", f"bare loop: {by_cpu}", cpu_ratio),
        Comparison("masks per CPU s, gateway", f"bare loop: {ONE_BY_ONE}", one_by_one_ratio),
        Comparison("images/s, gateway", f"bare loop: {by_time}", time_ratio),
        Comparison("ms added to a single request", "pipeline", added_ms(bare_ms, served_ms)),
        Comparison("CPU ms a request, gateway and Java", "-", cpu_ms[GATEWAY] + cpu_ms[JAVA]),
    ]


def latencies(slices: Sequence[Slice]) -> list[TimedPhoto]:
    return [each for one in slices for each in one.latencies_ms]
