"""Cost of isolating photos on a canvas: methods to blank the area outside each photo's frame.

`python -m loadtest.experiments.masking [--rounds 15] [--threads 1] [--out
build/results/masking-cpu.json]` times one forward pass of two networks, fp32 on the CPU, with
photos of several sizes on one canvas. The methods take turns, and each is compared with the pass
without blanking of the same round. With one thread the time is CPU time, which other programs do
not lengthen. Prints a table, writes JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from handlers.net import ARCHITECTURES
from handlers.net.exact.extents import Size
from handlers.net.exact.network import ExactNet
from handlers.net.options import VggOptions
from handlers.runtime.device import Device
from loadtest.command_line import RESULTS
from loadtest.experiments.blanking import BARE, METHODS
from loadtest.report.machine import hardware, versions

CANVAS = (512, 640)

# frames of photos of 375x500, 500x375, 333x500 and 480x640
FRAMES = ((384, 512), (512, 384), (352, 512), (480, 640))

QUARTER_VGG = VggOptions(padding="same", channels=(16, 32, 64, 128, 128), fc_channels=1024)

CLASSES = 21

NETS: Mapping[str, Callable[[], nn.Module]] = {
    "fcn8s-lite0": lambda: ARCHITECTURES["fcn8s-lite0"](CLASSES),
    "fcn8s-vgg16, channels / 4": lambda: ARCHITECTURES["fcn8s-vgg16"](CLASSES, QUARTER_VGG),
}


@dataclass(frozen=True)
class Timing:
    """One method's forward pass; `added` is the median over rounds, relative to the bare pass."""

    network: str
    batch: int
    method: str
    median_ms: float
    least_ms: float
    added: float


@torch.inference_mode()
def measure(name: str, frames: Sequence[Size], rounds: int) -> list[Timing]:
    """Time all methods in turns on photos of noise; raises ValueError where scores differ."""
    torch.manual_seed(0)
    net = NETS[name]().eval()
    canvas = torch.zeros(len(frames), *CANVAS, 3).permute(0, 3, 1, 2)  # channels_last
    for one, (height, width) in zip(canvas, frames, strict=True):
        one[:, :height, :width] = torch.randn(3, height, width)
    nets = {method: make(net) for method, make in METHODS.items()}
    check(nets, canvas, frames)
    times: dict[str, list[float]] = {method: [] for method in nets}
    for _ in range(rounds):
        for method, exact in nets.items():
            start = clock()
            exact(canvas, frames)
            times[method].append((clock() - start) * 1000)
    timings = []
    for method, ms in times.items():
        added = median(each / bare - 1 for each, bare in zip(ms, times[BARE], strict=True))
        figures = round(median(ms), 2), round(min(ms), 2), round(added, 4)
        timings.append(Timing(name, len(frames), method, *figures))
    return timings


def clock() -> float:
    """Seconds of CPU time with one thread, else of wall time."""
    return time.thread_time() if torch.get_num_threads() == 1 else time.perf_counter()


def check(nets: Mapping[str, ExactNet], canvas: Tensor, frames: Sequence[Size]) -> None:
    """Warm up, and check that all methods but the first give the same scores."""
    nets[BARE](canvas, frames)
    expected = nets["strips"](canvas, frames)
    for method, exact in nets.items():
        scores = exact(canvas, frames)
        for own, others, frame in zip(scores, expected, frames, strict=True):
            height, width = exact.score_size(frame)
            same = torch.equal(own[:, :height, :width], others[:, :height, :width])
            if not same and method != BARE:
                raise ValueError(f"{method} does not give the scores of strips")


def table(timings: Sequence[Timing]) -> str:
    """Write each method's time and what it adds as a Markdown table."""
    rows = [
        "| network | photos | method | median ms | least ms | adds |",
        "|---|---:|---|---:|---:|---:|",
    ]
    rows += [
        f"| {timing.network} | {timing.batch} | {timing.method} | {timing.median_ms:.1f} "
        f"| {timing.least_ms:.1f} | {100 * timing.added:+.1f} % |"
        for timing in timings
    ]
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="passes per method")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "masking-cpu.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    timings = [
        timing
        for name in NETS
        for frames in (FRAMES[:1], FRAMES)
        for timing in measure(name, frames, arguments.rounds)
    ]
    report = {
        "hardware": hardware(Device(torch.device("cpu"), "fp32", arguments.threads)),
        "versions": versions(),
        "threads": arguments.threads,
        "canvas": CANVAS,
        "frames": FRAMES,
        "rounds": arguments.rounds,
        "timings": [asdict(timing) for timing in timings],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report["hardware"]), f"{arguments.threads} threads, torch {torch.__version__}")
    print(table(timings))


if __name__ == "__main__":
    main()
