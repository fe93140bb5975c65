"""A model folder and a photo in, the mask, the classes and the time taken out.

The photo goes through the worker's pipeline in this process. Called by `fcnserve model check`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from handlers.job import Answer, Job
from handlers.model_config import Batching, Ladder, ModelConfig
from handlers.pipeline import Pipeline
from handlers.runtime.cost_rates import measure_rates
from handlers.runtime.device import choose_device
from handlers.runtime.load_network import load_network
from handlers.runtime.model_card import model_card
from handlers.runtime.warm_up.run import warm_up
from handlers.shared.errors import read_problem
from handlers.shared.wire import PNG_MEDIA_TYPE

# the fastest counts, since other programs may use the machine too
REPEATS = 3


@dataclass(frozen=True, slots=True)
class ClassShare:
    """A class in a photo, and the part of the pixels that it covers."""

    name: str
    share: float


@dataclass(frozen=True, slots=True)
class PhotoResult:
    """A photo's mask, the time taken, and the classes in it, the largest first."""

    mask: bytes  # an indexed PNG
    load_s: float
    photo_ms: float
    numerics: str  # device and precision
    classes: Sequence[ClassShare]


def try_photo(folder: Path, config: ModelConfig, photo: bytes) -> PhotoResult:
    """Load the network and segment; raises ProblemError for a broken photo."""
    started = time.perf_counter()
    pipeline = load(folder, config)
    load_s = time.perf_counter() - started
    answer = segment(pipeline, photo)  # the first of a size prepares its kernels
    photo_ms = min(timed_ms(pipeline, photo) for _ in range(REPEATS))
    numerics = pipeline.card.numerics
    return PhotoResult(answer.body, load_s, photo_ms, numerics, class_shares(answer, config))


def timed_ms(pipeline: Pipeline, photo: bytes) -> float:
    started = time.perf_counter()
    segment(pipeline, photo)
    return (time.perf_counter() - started) * 1000


def load(folder: Path, config: ModelConfig) -> Pipeline:
    """Load as `Pipeline.load` does, without warming up batches of several photos."""
    network = load_network(choose_device(gpu_id(), config.precision), config, folder)
    costs = warm_up(network, Batching(ladder=Ladder(cpu=(), cuda=())))
    card = model_card(config, folder, network.device, measure_rates(network, costs))
    return Pipeline(config, network, costs, card)


def gpu_id() -> int | None:
    return 0 if torch.cuda.is_available() else None


def segment(pipeline: Pipeline, photo: bytes) -> Answer:
    (answer,) = pipeline.run([Job(photo)])
    if answer.media_type != PNG_MEDIA_TYPE:
        raise read_problem(answer.body)
    return answer


def class_shares(answer: Answer, config: ModelConfig) -> list[ClassShare]:
    counts = answer.report.class_pixels
    total = sum(counts.values())
    largest_first = sorted(counts.items(), key=lambda each: -each[1])
    return [ClassShare(config.classes[number], pixels / total) for number, pixels in largest_first]
