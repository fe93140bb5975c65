"""A photo through a model folder, in this process, as a worker does it; called by `model check`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handlers.errors import read_problem
from handlers.job import PNG_MEDIA_TYPE, Answer, Job
from handlers.model_config import ModelConfig
from handlers.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Seen:
    """A class in a photo."""

    name: str
    share: float


@dataclass(frozen=True, slots=True)
class Trial:
    """A photo's mask, how long it took, and what it shows, the largest first."""

    mask: bytes  # an indexed PNG
    load_s: float
    photo_ms: float
    runs_on: str
    seen: Sequence[Seen]


def try_photo(folder: Path, config: ModelConfig, photo: bytes) -> Trial:
    """Load the network, warm-up included, and segment; raises ProblemError for a broken photo."""
    started = time.perf_counter()
    pipeline = Pipeline.load(folder)
    load_s = time.perf_counter() - started
    segment(pipeline, photo)  # the first of a size prepares its kernels
    started = time.perf_counter()
    answer = segment(pipeline, photo)
    photo_ms = (time.perf_counter() - started) * 1000
    return Trial(
        answer.body, load_s, photo_ms, str(pipeline.card["numerics"]), seen(answer, config)
    )


def segment(pipeline: Pipeline, photo: bytes) -> Answer:
    (answer,) = pipeline.run([Job(photo)])
    if answer.media_type != PNG_MEDIA_TYPE:
        raise read_problem(answer.body)
    return answer


def seen(answer: Answer, config: ModelConfig) -> list[Seen]:
    counts = answer.report.class_pixels
    total = sum(counts.values())
    largest_first = sorted(counts.items(), key=lambda each: -each[1])
    return [Seen(config.classes[number], pixels / total) for number, pixels in largest_first]
