"""Compares the variants on a GPU: the time of a pass, and whether photos may share it.

`python -m loadtest.gpu_variants [--model FOLDER] [--canvas 512x384] [--photos 1] [--only NAME]`
prints a row as soon as it is known; a compiled variant takes a minute before its first one.
*change* is that of a score from the first variant's, as a part of the largest score; *shared* says
whether a probe photo has the bits of its single pass in each position of the pass. On a CPU
(`--device cpu`) it shows no more than that they run.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from handlers.model_config import load_config
from handlers.runtime.device import Device, check_gpu, cpu_threads
from handlers.runtime.network_cuda import CudaNetwork
from handlers.runtime.warm_up.run import pass_ms
from handlers.runtime.warm_up.sameness import PROBE_SIZE, photo_of
from handlers.shared.frame import Frame
from loadtest.gpu_variants.catalogue import VARIANTS, variant_network

MODEL = Path(__file__).parents[2] / "model_store" / "fcn8s-lite2"
REPEATS = 20
ERROR_CHARACTERS = 80


class Row(NamedTuple):
    """A pass of a variant, or the reason why there is none."""

    variant: str
    photos: int
    ms: str
    photos_per_s: str = ""
    change: str = ""
    shared: str = ""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--canvas", default="512x384", help="width x height")
    parser.add_argument("--photos", type=int, action="append", help="of a pass; default 1 and 16")
    parser.add_argument("--only", choices=VARIANTS, action="append", help="default: all")
    chosen = parser.parse_args(arguments)
    width, height = map(int, chosen.canvas.split("x"))
    print(f"| {' | '.join(Row._fields)} |\n|{'---|' * len(Row._fields)}")
    for row in compare(
        chosen.model,
        chosen.device,
        Frame(height, width),
        chosen.photos or [1, 16],
        chosen.only or list(VARIANTS),
    ):
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def compare(
    folder: Path, device: str, canvas: Frame, counts: Sequence[int], names: Sequence[str]
) -> Iterator[Row]:
    """Yield a row for each variant and number of photos."""
    first: dict[int, Tensor] = {}
    for name in names:
        network = load(folder, device, name)
        for photos in counts:
            try:
                yield measure(network, name, canvas, photos, first)
            except RuntimeError as error:
                yield Row(name, photos, str(error).split("\n")[0][:ERROR_CHARACTERS])
            network.forget(photos, canvas)


def load(folder: Path, device: str, name: str) -> CudaNetwork:
    """Load a model with a variant's layers; raises DeviceError for a GPU that cannot be used."""
    config, precision = load_config(folder), "fp32"
    if device == "cuda":
        precision = config.precision.cuda
        check_gpu(0, precision)
    chosen = Device(torch.device(device, 0), precision, cpu_threads())
    return variant_network(name)(config, folder, chosen)


def measure(
    network: CudaNetwork, name: str, canvas: Frame, photos: int, first: dict[int, Tensor]
) -> Row:
    """Compare the scores of a pass with those of `first`, by number of photos, and time it."""
    probe = photo_of(network.frame(PROBE_SIZE))
    (single,) = network.scores([probe], canvas)
    network.prepare(photos, canvas)
    shared = all(torch.equal(one, single) for one in network.scores([probe] * photos, canvas))
    batch = [photo_of(canvas)] * photos
    scores = network.scores(batch, canvas)[0]
    expected = first.setdefault(photos, scores)
    change = ((scores - expected).abs().max() / expected.abs().max()).item()
    ms = pass_ms(network, batch, canvas, REPEATS)
    figures = (f"{ms:.3f}", f"{1000 * photos / ms:.0f}", f"{change:.1e}")
    return Row(name, photos, *figures, "yes" if shared else "no")


if __name__ == "__main__":
    main()
