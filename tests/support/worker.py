"""A small worker: the model of the repo on the CPU, and a network with predictable scores.

`FakeNetwork` labels a photo by its first pixel and fails on demand.
"""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from handlers.job import Answer, Job
from handlers.model_config import MODEL_FILE, ModelConfig, load_config
from handlers.net.exact.geometry import Placement
from handlers.pipeline import Pipeline
from handlers.runtime.device import Device
from handlers.runtime.network import Network
from handlers.runtime.network_cpu import CpuNetwork
from handlers.runtime.pass_costs import PassCosts, SharedPass
from handlers.shared.cost import CostRates
from handlers.shared.errors import ProblemError
from handlers.shared.frame import Frame
from handlers.shared.model_card import WorkerModelCard
from tests.support.photos import save

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "model_store" / "fcn8s-lite0"
WEIGHTS = MODEL / "weights.safetensors"
SAMPLES = ROOT / "service" / "samples"
CLASSES = 21

# passes of up to eight photos on small canvases, so cheap that they are always taken
SHARING = PassCosts(
    10.0,
    1e-4,
    (64, 128, 192, 256),
    {
        (Frame(height, width), photos): SharedPass(1.0)
        for height in (64, 128, 192, 256)
        for width in (64, 128, 192, 256)
        for photos in range(2, 9)
    },
)

NO_COSTS = CostRates(
    decode={},
    pass_s=0,
    forward_s_per_megapixel=0,
    labels_s_per_megapixel=0,
    confidence_s_per_megapixel=0,
)

Pixels = NDArray[np.uint8]


def sample(name: str) -> Pixels:
    """`cat` (300, 451, 3) or `astronaut` (512, 512, 3)."""
    with Image.open(SAMPLES / f"{name}.jpg") as image:
        return np.asarray(image.convert("RGB"))


def noise(size: tuple[int, int], seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def plain(size: tuple[int, int], label: int) -> bytes:
    """A PNG in one colour; `FakeNetwork` gives every pixel `label`."""
    return save(np.full((*size, 3), label, np.uint8), "PNG")


def cpu(precision: str = "fp32", threads: int = 2) -> Device:
    return Device(torch.device("cpu"), precision, threads)


def document(**changes: Any) -> dict[str, Any]:
    """The repo's `model.yaml` with some keys changed."""
    contents: dict[str, Any] = yaml.safe_load((MODEL / MODEL_FILE).read_text())
    return contents | changes


def write_model(folder: Path, *, weights: bytes | None = None, **changes: Any) -> Path:
    """Make a model folder; without `weights` it has the repo's."""
    (folder / MODEL_FILE).write_text(yaml.safe_dump(document(**changes)))
    if weights is None:
        (folder / WEIGHTS.name).symlink_to(WEIGHTS)
    else:
        (folder / WEIGHTS.name).write_bytes(weights)
    return folder


def change_model(folder: Path, **keys: Any) -> None:
    """Give a folder's `model.yaml` other values of these keys; None leaves one out."""
    file = folder / MODEL_FILE
    contents = yaml.safe_load(file.read_text()) | keys
    present = {key: value for key, value in contents.items() if value is not None}
    file.write_text(yaml.safe_dump(present))


def network(precision: str = "fp32") -> Network:
    return CpuNetwork(load_config(MODEL), MODEL, cpu(precision))


def pipeline(net: Network, **changes: Any) -> Pipeline:
    config = ModelConfig.model_validate(document(**changes))
    return Pipeline(config, net, SHARING, card_of(config))


def card_of(config: ModelConfig) -> WorkerModelCard:
    """Make a card as `handlers.runtime.model_card` does, of a worker that was not measured."""
    copied = ("name", "version", "architecture", "classes", "palette", "background_id")
    limits = ("working_max_side", "max_side_limit")
    return WorkerModelCard.model_validate(
        {name: getattr(config, name) for name in (*copied, *limits)}
        | {"digest": "0123456789abcdef", "batch_size": config.batching.batch_size.cpu}
        | {"device": "cpu", "precision": "fp32", "numerics": "fake", "costs": NO_COSTS}
    )


class FakeNetwork(CpuNetwork):
    """Scores a photo's first red value highest, everywhere; `fail` may raise instead."""

    def __init__(
        self,
        fail: Callable[[Sequence[Pixels]], None] = lambda photos: None,
        precision: str = "bf16",
    ) -> None:
        self.device = cpu(precision)
        self.stride, self.score_placement = 32, Placement(3.5, 8)
        self.passes: list[int] = []  # photos of each
        self._fail = fail

    def scores(self, photos: Sequence[Pixels], canvas: Frame) -> list[Tensor]:
        self.passes.append(len(photos))
        self._fail(photos)
        scores = []
        for photo in photos:
            frame = self.frame(photo.shape[:2])
            scores.append(torch.zeros(CLASSES, frame.height // 8, frame.width // 8))
            scores[-1][int(photo[0, 0, 0])] = 1
        return scores


def jobs_of(*bodies: bytes) -> list[Job | ProblemError]:
    return [Job(body) for body in bodies]


def labels_of(answer: Answer) -> Pixels:
    assert answer.media_type == "image/png"
    with Image.open(io.BytesIO(answer.body)) as image:
        return np.asarray(image)


def code_of(answer: Answer) -> str:
    assert answer.media_type == "application/problem+json"
    code: str = json.loads(answer.body)["code"]
    return code


def labels_or_codes(answers: list[Answer]) -> list[object]:
    """Name each answer by its only label, or by its problem's code."""
    return [
        int(labels_of(answer).max()) if answer.media_type == "image/png" else code_of(answer)
        for answer in answers
    ]
