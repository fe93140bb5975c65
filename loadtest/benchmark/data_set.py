"""A set of photos, ready to be run: JPEGs, pixels, and the answer that each gets alone."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor, nn

from handlers.job import Job
from handlers.model_config import ModelConfig
from handlers.pipeline import Pipeline
from handlers.runtime.network import Network
from handlers.shared.photo import Pixels
from handlers.stages.decode import decode, open_photo
from loadtest.benchmark.rows import Check
from loadtest.benchmark.strategies import NetworkLoop, PhotoLoop
from loadtest.measure.usage import frame_flops
from loadtest.traffic.corpus import Photo


@dataclass(frozen=True, slots=True)
class Course:
    """One set's photos; all tuples are in the same order."""

    name: str
    photos: Sequence[Photo]
    jobs: Sequence[Job]
    pixels: Sequence[Pixels]
    lone_answers: Sequence[bytes]
    lone_scores: Sequence[Tensor]
    flops_per_image: float

    @property
    def valid_pixels(self) -> int:
        """All photos' pixels at the network's working size."""
        return sum(photo.shape[0] * photo.shape[1] for photo in self.pixels)

    def batches(self, images: int) -> list[range]:
        """Cut the set into batches: places in order."""
        places = range(len(self.photos))
        return [places[first : first + images] for first in places[::images]]


def prepare(
    name: str,
    photos: Sequence[Photo],
    config: ModelConfig,
    network: Network,
    pipeline: Pipeline,
    meta_net: nn.Module,
) -> Course:
    """Decode a set, and answer each photo alone."""
    jobs = [Job(photo.body) for photo in photos]
    pixels = [decode(open_photo(job, config.working_max_side)) for job in jobs]
    frames = [network.frame(photo.shape[:2]) for photo in pixels]
    flops = {frame: frame_flops(meta_net, frame) for frame in set(frames)}
    return Course(
        name,
        photos,
        jobs,
        pixels,
        [pipeline.run([job])[0].body for job in jobs],
        [network.scores([photo], frame)[0] for photo, frame in zip(pixels, frames, strict=True)],
        sum(flops[frame] for frame in frames) / len(frames),
    )


def check_network(course: Course, loop: NetworkLoop, batch_images: int) -> Check:
    """Compare scores with lone ones: maps that differ in any bit, cells whose best class does."""
    differing = changed = cells = 0
    for places in course.batches(batch_images):
        for place, scores in zip(
            places, loop.scores([course.pixels[place] for place in places]), strict=True
        ):
            lone = course.lone_scores[place]
            differing += not bool((scores == lone).all())
            changed += int((scores.argmax(0) != lone.argmax(0)).sum())
            cells += lone[0].numel()
    return Check(len(course.photos), differing, 100 * changed / cells)


def check_photos(course: Course, loop: PhotoLoop | Pipeline, batch_images: int) -> Check:
    """Compare masks with lone ones: files that differ, pixels that do."""
    differing = changed = pixels = 0
    for places in course.batches(batch_images):
        answers = loop.run([course.jobs[place] for place in places])
        for place, answer in zip(places, answers, strict=True):
            lone = labels(course.lone_answers[place])
            differing += answer.body != course.lone_answers[place]
            changed += int((labels(answer.body) != lone).sum())
            pixels += lone.size
    return Check(len(course.photos), differing, 100 * changed / pixels)


def labels(png: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with Image.open(io.BytesIO(png)) as mask:
        return np.asarray(mask)
