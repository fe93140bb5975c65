"""The stage of labels: the bundled model's on this device, beside those of a CPU in fp32.

`python -m loadtest.gpu_check.labels` writes the expected labels, on a CPU, once for each change of
the model's weights. Photos are crops of the sample photos.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from handlers.model_config import load_config
from handlers.runtime.device import Device
from handlers.runtime.labels import LabelArray, OutputRequest
from handlers.runtime.network import Network
from handlers.runtime.network_cpu import CpuNetwork
from handlers.shared.frame import Frame
from handlers.shared.photo import Pixels
from loadtest.gpu_check.catalogue import Scale
from loadtest.gpu_check.networks import MODEL, SAMPLES, lite2
from loadtest.gpu_check.results import Cell, Check, Item, Row

EXPECTED = Path(__file__).with_name("expected_labels.npz")
# (height, width) of the top-left crop of each sample photo
CROPS = {"cat": (300, 451), "astronaut": (512, 512), "cat-part": (97, 130), "tall": (512, 333)}
SMALL_CROPS = ("cat-part",)  # for a dry run
# the least part of a photo's labels that agrees: a CPU's fp16 gives 99.90 to 99.98 % on these
# photos, its bf16 99.26 to 99.87 %
LEAST = {"fp32": 0.9990, "fp16": 0.9970, "bf16": 0.9850}


def run(scale: Scale) -> Iterator[Item]:
    """Yield a row for each precision and photo: in a single pass, and beside the others."""
    photos, expected = sample_photos(), read_expected()
    yield Check("photos are decoded to the same pixels", *same_pixels(photos, expected))
    if scale.device == "cpu":
        photos = {name: photos[name] for name in SMALL_CROPS}
    for precision in scale.precisions:
        agreeing, least = [], LEAST[precision]
        for row in compared(lite2(scale, precision), precision, photos, expected):
            agreeing.append(float(row.cells["single, %"] or 0) / 100)
            yield row
        claim = f"at least {least:.2%} of each photo's labels in {precision} are those of a CPU"
        yield Check(claim, min(agreeing) >= least, f"{min(agreeing):.3%}")


def compared(
    network: Network,
    precision: str,
    photos: Mapping[str, Pixels],
    expected: Mapping[str, LabelArray],
) -> Iterator[Row]:
    sides = zip(*(photo.shape[:2] for photo in photos.values()), strict=True)
    canvas = network.single_canvas(tuple(map(max, sides)))
    together = labels_of(network, list(photos.values()), canvas)
    for (name, photo), in_batch in zip(photos.items(), together, strict=True):
        (single,) = labels_of(network, [photo], network.single_canvas(photo.shape[:2]))
        cells: dict[str, Cell] = {"precision": precision, "photo": name, "pixels": single.size}
        agreeing: dict[str, Cell] = {
            "single, %": 100 * float(np.mean(single == expected[name])),
            "together, %": 100 * float(np.mean(in_batch == expected[name])),
        }
        yield Row("Labels that agree", cells | agreeing)


def labels_of(network: Network, photos: list[Pixels], canvas: Frame) -> list[LabelArray]:
    requests = [OutputRequest(photo.shape[:2]) for photo in photos]
    return [pending.read()[0] for pending in network.label(photos, requests, canvas)]


def sample_photos() -> dict[str, Pixels]:
    sources = {"cat": "cat", "cat-part": "cat", "astronaut": "astronaut", "tall": "astronaut"}
    photos = {}
    for name, (height, width) in CROPS.items():
        with Image.open(SAMPLES / f"{sources[name]}.jpg") as image:
            pixels = np.asarray(image.convert("RGB"))
        photos[name] = np.ascontiguousarray(pixels[:height, :width])
    return photos


def read_expected() -> dict[str, LabelArray]:
    with np.load(EXPECTED) as arrays:
        return dict(arrays)


def same_pixels(
    photos: Mapping[str, Pixels], expected: Mapping[str, LabelArray]
) -> tuple[bool, str]:
    differing = [name for name, one in photos.items() if digest(one.tobytes()) not in expected]
    return not differing, f"others: {', '.join(differing)}" if differing else "all"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def weights_digest() -> str:
    return digest((MODEL / load_config(MODEL).weights).read_bytes())


def main() -> None:
    """Write the expected labels, with empty arrays named by the digests of pixels and weights."""
    network = CpuNetwork(load_config(MODEL), MODEL, Device(torch.device("cpu"), "fp32", 1))
    photos = sample_photos()
    arrays: dict[str, Any] = {
        name: labels_of(network, [photo], network.single_canvas(photo.shape[:2]))[0]
        for name, photo in photos.items()
    }
    names = [weights_digest(), *(digest(photo.tobytes()) for photo in photos.values())]
    np.savez_compressed(EXPECTED, **arrays | dict.fromkeys(names, np.zeros(0, np.uint8)))
    print(f"written: {EXPECTED.name}, {EXPECTED.stat().st_size} bytes")


if __name__ == "__main__":
    main()
