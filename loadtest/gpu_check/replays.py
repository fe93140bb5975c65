"""The stage of times: passes of the bundled model and of the full VGG16, without and with labels.

A pass is replayed from its recording, as in a worker; its FLOPs a second are compared with those of
large matrix products in the same precision, measured just before. Then variants of the bundled
model (`loadtest.gpu_variants`).
"""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from torch import Tensor, nn

from handlers.net import ARCHITECTURES
from handlers.net.options import LiteOptions, VggOptions
from handlers.runtime.labels import OutputRequest
from handlers.runtime.network_cuda import CudaNetwork
from handlers.runtime.warm_up.sameness import PROBE_SIZE, photo_of
from handlers.shared.frame import Frame
from loadtest.gpu_check.catalogue import Scale
from loadtest.gpu_check.networks import VGG16, lite2, noise, vgg16
from loadtest.gpu_check.rates import matrix_flops_per_s, typical_s
from loadtest.gpu_check.results import Cell, Check, Fact, Item, Row
from loadtest.gpu_variants.catalogue import VARIANTS, variant_network
from loadtest.measure.flops import frame_flops

CLASSES = 21
VGG_TARGET = 0.6
# the canvases of most photos
CANVASES = 2
# in the names of variants that `python -m loadtest.gpu_variants` compares: a minute for each
COMPILED = "compiled"
NOTE_CHARACTERS = 60
VARIANTS_TABLE = "Variants of fcn8s-lite2"


def run(scale: Scale) -> Iterator[Item]:
    """Yield the table row by row, small passes first."""
    rate = matrix_flops_per_s(scale.precision, scale)
    yield Fact(f"matrix rate in {scale.precision}, TFLOP/s", rate / 1e12)
    network = lite2(scale)
    with torch.device("meta"):
        meta = ARCHITECTURES["fcn8s-lite2"](CLASSES, LiteOptions(skips="expand")).eval()
    for canvas in map(Frame._make, scale.canvases[:CANVASES]):
        for images in scale.images:
            yield measured("fcn8s-lite2", network, meta, canvas, images, rate, scale)
    del network
    yield from run_vgg(rate, scale)
    yield from run_variants(scale)


def run_vgg(rate: float, scale: Scale) -> Iterator[Item]:
    with TemporaryDirectory() as folder:
        network = vgg16(scale, Path(folder))
    with torch.device("meta"):
        options = VggOptions(channels=scale.vgg_channels, fc_channels=scale.vgg_fc_channels)
        meta = ARCHITECTURES[VGG16](CLASSES, options).eval()
    best = 0.0
    canvas = Frame._make(scale.canvases[0])
    for images in scale.vgg_images:
        row = measured(VGG16, network, meta, canvas, images, rate, scale)
        best = max(best, float(row.cells["of matrix rate, %"] or 0) / 100)
        yield row
    if scale.device == "cpu":
        return
    claim = f"VGG16 reaches {VGG_TARGET:.0%} of the matrix rate"
    yield Check(claim, best >= VGG_TARGET, f"{best:.1%}", of_speed=True)


def run_variants(scale: Scale) -> Iterator[Item]:
    """Compare the bundled model with its layers in other forms, but for those that are compiled."""
    canvas, images = Frame._make(scale.canvases[0]), scale.images[-1]
    served: list[Tensor] = []
    for name in VARIANTS:
        if COMPILED in name:
            continue
        cells: dict[str, Cell] = {"variant": name, "photos": images}
        try:
            network = lite2(scale, network=variant_network(name))
            scores, figures = measured_variant(network, canvas, images, scale)
        except RuntimeError as error:
            yield Row(VARIANTS_TABLE, cells | {"note": str(error)[:NOTE_CHARACTERS]})
            continue
        served = served or scores
        figures["change"] = largest_change(scores, served)
        yield Row(VARIANTS_TABLE, cells | figures)


@torch.inference_mode()
def measured_variant(
    network: CudaNetwork, canvas: Frame, images: int, scale: Scale
) -> tuple[list[Tensor], dict[str, Cell]]:
    """Return scores to compare, the time of a pass, and whether photos may share it: whether the
    probe photo has the bits of its single pass in each position.
    """
    probe = photo_of(network.frame(PROBE_SIZE))
    (single,) = network.scores([probe], canvas)
    network.prepare(images, canvas)
    is_shared = all(torch.equal(one, single) for one in network.scores([probe] * images, canvas))
    scores = network.scores([photo_of(canvas)] * images, canvas)
    staged = network._stage(noise(network, canvas, images), canvas)
    pass_s = typical_s(partial(network._pass, staged), scale)
    return scores, {
        "pass, ms": pass_s * 1000,
        "photos/s": images / pass_s,
        "can be shared": is_shared,
    }


def largest_change(scores: Sequence[Tensor], served: Sequence[Tensor]) -> float:
    """Return the largest change of a score, as a part of the largest score."""
    pairs = zip(scores, served, strict=True)
    return max(((one - other).abs().max() / other.abs().max()).item() for one, other in pairs)


@torch.inference_mode()
def measured(
    name: str,
    network: CudaNetwork,
    meta: nn.Module,
    canvas: Frame,
    images: int,
    rate: float,
    scale: Scale,
) -> Row:
    """Record a pass; time its replays, then with labels, then with the photos' way up as well."""
    photos, requests = noise(network, canvas, images), [OutputRequest(canvas)] * images
    started = time.perf_counter()
    network.prepare(images, canvas)
    network.synchronise()
    recording_s = time.perf_counter() - started
    staged = network._stage(photos, canvas)
    pass_s = typical_s(lambda: network._pass(staged), scale)
    label = partial(network.label, photos, requests, canvas)
    with patch.object(network, "_stage", return_value=staged):
        labelled_s = typical_s(label, scale)
    all_s = typical_s(label, scale)
    network.forget(images, canvas)
    flops_per_s = images * frame_flops(meta, canvas) / pass_s
    return Row(
        f"Passes in {scale.precision}",
        {
            "network": name,
            "canvas": f"{canvas.width}x{canvas.height}",
            "photos": images,
            "recording, s": recording_s,
            "pass, ms": pass_s * 1000,
            "and labels, ms": labelled_s * 1000,
            "and upload, ms": all_s * 1000,
            "passes, photos/s": images / pass_s,
            "all, photos/s": images / all_s,
            "TFLOP/s": flops_per_s / 1e12,
            "of matrix rate, %": 100 * flops_per_s / rate,
        },
    )
