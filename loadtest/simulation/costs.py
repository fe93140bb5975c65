"""What a mask costs in each part of the service: measured figures, and assumptions named as such.

In: the recorded results. Out: the costs of a profile. Called by `loadtest.simulation.run`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from handlers.runtime.pass_costs import PassCosts, SharedPass
from handlers.shared.frame import Frame
from service.worker.worker_count import PYTHON_MS

FRONT = Path(__file__).parents[1] / "results" / "front.json"
CLIENTS = "16"
# measured: a pass of fcn8s-lite2, one thread, bf16, for 128x128 and 384x512 (loadtest/results)
CPU_PASSES_MS: Mapping[Frame, float] = {Frame(128, 128): 5.8, Frame(384, 512): 26.1}
# measured, in microseconds a request: choosing a replica, and for each that there is; where a
# gateway has several processes (True), each reads what the others have sent
CHOICE_US, CHOICE_US_PER_REPLICA = {False: 13.0, True: 30.0}, {False: 0.01, True: 0.1}
# model_store/fcn8s-lite2/model.yaml
LADDER = (128, 256, 384, 512, 640, 768)
GROUP_PIXELS = 16_000_000
# assumed: of a GPU's recorded pass; 0.4 ms for a photo of the mix alone, as docs/gpu.md estimates
GPU_LAUNCH_MS, GPU_NS_PER_PIXEL = 0.2, 2.5


@dataclass(frozen=True, slots=True)
class Costs:
    """Milliseconds of a mask in each part, and the passes of a network."""

    gateway_ms: float  # of its process's event loop
    java_ms: float
    python_ms: float  # of a Python worker, in one thread at a time
    codecs_ms: float  # of its codec threads
    passes: PassCosts
    has_gpu: bool

    @property
    def worker_cpu_ms(self) -> float:
        """Milliseconds of processors of a worker's pod, its passes apart."""
        return self.java_ms + self.python_ms + self.codecs_ms

    def gateway_s(self, replicas: int, processes: int) -> float:
        """Return what an image occupies the event loop for, of a gateway of so many processes."""
        several = processes > 1
        choice_us = CHOICE_US[several] + CHOICE_US_PER_REPLICA[several] * replicas
        return self.gateway_ms / 1000 + choice_us / 1e6

    def predicted_s(self, frame: Frame) -> float:
        """Predict an image alone, as a worker's card lets the gateway do."""
        return (self.python_ms + self.codecs_ms + self.passes.single_ms(frame)) / 1000


def costs_of(profile: str, gpu_slowness: float = 1.0, front: Path = FRONT) -> Costs:
    """Return the costs of `cpu`, all measured, or of `gpu`, whose passes are assumed."""
    measured = json.loads(front.read_text())["figures"]["ours"][CLIENTS]["cpu_ms"]
    around = measured["gateway"], measured["java"], PYTHON_MS, measured["workers"] - PYTHON_MS
    if profile == "cpu":
        return Costs(*around, cpu_passes(), has_gpu=False)
    return Costs(*around, gpu_passes(gpu_slowness), has_gpu=True)


def cpu_passes() -> PassCosts:
    """Return the line through the measured passes; none is shared, as on most processors."""
    (small, small_ms), (large, large_ms) = CPU_PASSES_MS.items()
    ms_per_pixel = (large_ms - small_ms) / (large.pixels - small.pixels)
    return PassCosts(small_ms - ms_per_pixel * small.pixels, ms_per_pixel)


def gpu_passes(slowness: float) -> PassCosts:
    """Return passes that 1, 2, 4, 8 or 16 photos may share on any canvas of the ladder."""
    launch_ms, ms_per_pixel = GPU_LAUNCH_MS * slowness, GPU_NS_PER_PIXEL * slowness / 1e6
    shared = {
        (canvas, images): SharedPass(launch_ms + ms_per_pixel * canvas.pixels * images)
        for canvas in (Frame(height, width) for height in LADDER for width in LADDER)
        for images in (1, 2, 4, 8, 16)
        if canvas.pixels * images <= GROUP_PIXELS
    }
    return PassCosts(launch_ms, ms_per_pixel, LADDER, shared)
