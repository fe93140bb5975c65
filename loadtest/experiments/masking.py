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
from torch import Tensor, fx, nn

from handlers.net import ARCHITECTURES
from handlers.net.exact.extents import Edge, Size
from handlers.net.exact.fold import replace_layer
from handlers.net.exact.network import Blank, ExactNet
from handlers.net.options import VggOptions
from handlers.runtime.device import Device
from loadtest.command_line import RESULTS
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


class NoBlanking(nn.Module):
    """Blanks nothing, as naive padding does: the time to compare with."""

    def forward(self, maps: Tensor, _edges: Sequence[Sequence[Edge]]) -> Tensor:
        return maps


class MaskedLayer(nn.Module):
    """Keeps the mask of a map; its sizes are those of the first call."""

    def __init__(self, strip: int) -> None:
        super().__init__()
        self._strip = strip
        self._mask: Tensor | None = None

    def mask(self, maps: Tensor, edges: Sequence[Sequence[Edge]]) -> Tensor:
        """Return (N, 1, H, W): 1 inside each photo's map, 0 outside."""
        if self._mask is None:
            self._mask = maps.new_zeros(len(maps), 1, *maps.shape[2:])
            for one, its_edges in zip(self._mask, edges, strict=True):
                edge = its_edges[self._strip]
                one[:, : edge.height, : edge.width] = 1
        return self._mask


class MultipliedMask(MaskedLayer):
    """Multiplies by the mask before a layer that reads neighbouring pixels."""

    def forward(self, maps: Tensor, edges: Sequence[Sequence[Edge]]) -> Tensor:
        return maps.mul_(self.mask(maps, edges))


class FusedActivation(MaskedLayer):
    """Applies activation and mask in one pass: clamps to [0, top] inside, to [0, 0] outside."""

    def __init__(self, strip: int, top: float) -> None:
        super().__init__(strip)
        self._top = top
        self._zero = torch.zeros(())

    def mask(self, maps: Tensor, edges: Sequence[Sequence[Edge]]) -> Tensor:
        first = self._mask is None
        mask = super().mask(maps, edges)
        return mask.masked_fill_(mask > 0, self._top) if first else mask

    def forward(self, maps: Tensor, edges: Sequence[Sequence[Edge]]) -> Tensor:
        return maps.clamp_(self._zero, self.mask(maps, edges))


def without_blanking(net: nn.Module) -> ExactNet:
    return replace_blanks(net, lambda _node, _blank, _graph: NoBlanking())


def with_strips(net: nn.Module) -> ExactNet:
    return ExactNet(net)


def with_multiplied_masks(net: nn.Module) -> ExactNet:
    return replace_blanks(net, lambda _node, blank, _graph: MultipliedMask(blank.strip))


def with_fused_masks(net: nn.Module) -> ExactNet:
    return replace_blanks(net, fuse)


BARE = "no blanking"
METHODS: Mapping[str, Callable[[nn.Module], ExactNet]] = {
    BARE: without_blanking,
    "strips": with_strips,
    "mask, fused with the activation": with_fused_masks,
    "mask, multiplied": with_multiplied_masks,
}


def replace_blanks(
    net: nn.Module, other: Callable[[fx.Node, Blank, fx.GraphModule], nn.Module]
) -> ExactNet:
    """Make `net` exact, with another layer instead of each Blank."""
    exact = ExactNet(net)
    for node in exact.graph.graph.nodes:
        if node.op == "call_module":
            layer = exact.graph.get_submodule(str(node.target))
            if isinstance(layer, Blank):
                replace_layer(exact.graph, node, other(node, layer, exact.graph))
    return exact


def fuse(node: fx.Node, blank: Blank, graph: fx.GraphModule) -> nn.Module:
    """Fuse with the activation before a Blank; where there is none, multiply."""
    before = node.all_input_nodes[0]
    layer = graph.get_submodule(str(before.target)) if before.op == "call_module" else None
    if len(before.users) > 1 or not isinstance(layer, nn.ReLU | nn.ReLU6):
        return MultipliedMask(blank.strip)
    replace_layer(graph, before, nn.Identity())
    return FusedActivation(blank.strip, 6.0 if isinstance(layer, nn.ReLU6) else float("inf"))


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
