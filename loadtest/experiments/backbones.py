"""Cost of a larger backbone: one photo's pass through FCN-8s on each member of the Lite family.

`python -m loadtest.experiments.backbones [--rounds 15] [--out build/results/backbones-cpu.json]`
times single photos on one thread by its CPU time; the networks take turns. Weights are random:
they do not change the time. Prints a table, writes JSON.
"""

import argparse
import json
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import get_args

import torch
from torch import nn

from handlers.net import ARCHITECTURES
from handlers.net.exact.network import ExactNet
from handlers.net.options import LITE_NAMES, LiteOptions, Skips
from handlers.runtime.device import DTYPES, Device, prepare_cpu
from loadtest.command_line import RESULTS
from loadtest.report.machine import hardware, versions

FRAME = (384, 512)
CLASSES = 21


@dataclass(frozen=True)
class Cost:
    """One network's size, on disk in fp32 with batch-norm, and the time of a pass per precision."""

    network: str
    skips: Skips
    parameters: int
    file_mb: float
    bf16_ms: float
    fp32_ms: float


class Candidate:
    """One network as the worker runs it, in each precision, and the times of its passes."""

    def __init__(self, name: str, skips: Skips) -> None:
        torch.manual_seed(0)
        self._name, self._skips = name, skips
        self._net: nn.Module = ARCHITECTURES[name](CLASSES, LiteOptions(skips=skips)).eval()
        self._exact = {
            precision: ExactNet(deepcopy(self._net)).to(DTYPES[precision])
            for precision in ("bf16", "fp32")
        }
        self._times: dict[str, list[float]] = {precision: [] for precision in self._exact}

    def run(self) -> None:
        """Time one pass in each precision, in ms."""
        for precision, exact in self._exact.items():
            photo = torch.randn(1, *FRAME, 3, dtype=DTYPES[precision]).permute(0, 3, 1, 2)
            start = time.thread_time()
            exact(photo, [FRAME])
            self._times[precision].append((time.thread_time() - start) * 1000)

    def cost(self) -> Cost:
        """Return the medians; the first pass is the warm-up and is left out."""
        tensors = self._net.state_dict().values()
        return Cost(
            self._name,
            self._skips,
            sum(weight.numel() for weight in self._net.parameters()),
            round(sum(tensor.nbytes for tensor in tensors) / 1e6, 1),
            round(median(self._times["bf16"][1:]), 1),
            round(median(self._times["fp32"][1:]), 1),
        )


@torch.inference_mode()
def measure(rounds: int) -> list[Cost]:
    skips: tuple[Skips, ...] = get_args(Skips)
    candidates = [Candidate(f"fcn8s-{lite}", each) for lite in LITE_NAMES for each in skips]
    for _ in range(1 + rounds):
        for candidate in candidates:
            candidate.run()
    return [candidate.cost() for candidate in candidates]


def table(costs: Sequence[Cost]) -> str:
    """Write each network's cost as a Markdown table."""
    rows = [
        "| architecture | skips | parameters | weights | ms, bf16 | ms, fp32 |",
        "|---|---|---:|---:|---:|---:|",
    ]
    rows += [
        f"| {cost.network} | {cost.skips} | {cost.parameters / 1e6:.2f} M | {cost.file_mb:.1f} MB "
        f"| {cost.bf16_ms:.1f} | {cost.fp32_ms:.1f} |"
        for cost in costs
    ]
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="passes per network and precision")
    parser.add_argument("--out", type=Path, default=RESULTS / "backbones-cpu.json")
    arguments = parser.parse_args()
    prepare_cpu(threads=1)
    costs = measure(arguments.rounds)
    report = {
        "hardware": hardware(Device(torch.device("cpu"), "fp32", 1)),
        "versions": versions(),
        "threads": 1,
        "frame": FRAME,
        "rounds": arguments.rounds,
        "costs": [asdict(cost) for cost in costs],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report["hardware"]), f"1 thread, torch {torch.__version__}")
    print(table(costs))


if __name__ == "__main__":
    main()
