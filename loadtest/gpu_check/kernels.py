"""The stage of kernels: where a GPU's time goes in passes with labels, and how long it idles.

Groups of photos are labelled one after the other, as a worker does it, under torch's profiler.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from torch.profiler import ProfilerActivity, profile

from handlers.runtime.labels import OutputRequest
from handlers.runtime.network_cuda import CudaNetwork
from handlers.shared.frame import Frame
from loadtest.gpu_check.catalogue import Scale
from loadtest.gpu_check.networks import lite2, noise
from loadtest.gpu_check.results import Fact, Item, Row

GROUPS = 8
LISTED = 25
NAME_CHARACTERS = 90

Interval = tuple[float, float]


def run(scale: Scale) -> Iterator[Item]:
    """Yield the idle share, then the kernels that take longest."""
    network = lite2(scale)
    canvas, images = Frame._make(scale.canvases[0]), scale.images[-1]
    network.prepare(images, canvas)
    events = profiled(network, canvas, images, min(GROUPS, 2 * scale.repeats))
    own = [event for event in events if event.device_type.name == scale.device.upper()]
    if not own:
        raise RuntimeError("the profiler has seen nothing on the device; CUPTI may be missing")
    spans = [(event.time_range.start, event.time_range.end) for event in own]
    busy_us, span_us = busy(spans), max(spans, key=end)[1] - min(spans)[0]
    yield Fact("photos in a group, and canvas", f"{images} on {canvas.width}x{canvas.height}")
    yield Fact("from the first kernel to the last, ms", span_us / 1000)
    yield Fact("idle share, %", 100 * (1 - busy_us / span_us))
    yield from longest(own)


def profiled(network: CudaNetwork, canvas: Frame, images: int, groups: int) -> list[Any]:
    """Return the profiler's events of some groups, the first of which came before."""
    photos, requests = noise(network, canvas, images), [OutputRequest(canvas)] * images
    activities = [ProfilerActivity.CPU]
    if network.device.kind == "cuda":
        activities.append(ProfilerActivity.CUDA)
    network.label(photos, requests, canvas)
    network.synchronise()
    with profile(activities=activities) as profiler:
        for pending in [network.label(photos, requests, canvas) for _ in range(groups)]:
            for one in pending:
                one.wait()
        network.synchronise()
    return list(profiler.events())


def busy(spans: Iterable[Interval]) -> float:
    """Return the length of the union of intervals."""
    total, until = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, until))
        until = max(until, stop)
    return total


def end(span: Interval) -> float:
    return span[1]


def longest(events: Iterable[Any]) -> Iterator[Item]:
    """Sum up by name; copies are among the kernels."""
    us: dict[str, list[float]] = {}
    for event in events:
        us.setdefault(event.name, []).append(event.time_range.elapsed_us())
    total = sum(map(sum, us.values()))
    for name, each in sorted(us.items(), key=lambda item: -sum(item[1]))[:LISTED]:
        cells = {"calls": len(each), "ms": sum(each) / 1000, "share, %": 100 * sum(each) / total}
        yield Row("Kernels", cells | {"kernel": name[:NAME_CHARACTERS]})
