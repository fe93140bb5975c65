"""A set of photos prepared for the candidates: JPEGs, pixels, and each photo's reference answer.

Photos and a network in, a `DataSet` out; and the checks of a candidate's answers against it. A
photo's reference answer is the one that it gets as the only photo of its batch. Called by
`loadtest.benchmark.candidates`.
"""

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
from loadtest.measure.flops import frame_flops
from loadtest.traffic.corpus import Photo


@dataclass(frozen=True, slots=True)
class DataSet:
    """The photos of one size set; all sequences have the same order."""

    name: str
    photos: Sequence[Photo]
    jobs: Sequence[Job]
    pixels: Sequence[Pixels]
    reference_answers: Sequence[bytes]
    reference_scores: Sequence[Tensor]
    flops_per_image: float

    @property
    def valid_pixels(self) -> int:
        """Pixels of all photos at the network's working size."""
        return sum(photo.shape[0] * photo.shape[1] for photo in self.pixels)

    def batches(self, images: int) -> list[range]:
        """Split the set into batches of indices, in order."""
        indices = range(len(self.photos))
        return [indices[first : first + images] for first in indices[::images]]


def prepare(
    name: str,
    photos: Sequence[Photo],
    config: ModelConfig,
    network: Network,
    pipeline: Pipeline,
    meta_net: nn.Module,
) -> DataSet:
    """Decode a set, and compute the reference answer of each photo."""
    jobs = [Job(photo.body) for photo in photos]
    pixels = [decode(open_photo(job, config.working_max_side)) for job in jobs]
    frames = [network.frame(photo.shape[:2]) for photo in pixels]
    flops = {frame: frame_flops(meta_net, frame) for frame in set(frames)}
    return DataSet(
        name,
        photos,
        jobs,
        pixels,
        [pipeline.run([job])[0].body for job in jobs],
        [network.scores([photo], frame)[0] for photo, frame in zip(pixels, frames, strict=True)],
        sum(flops[frame] for frame in frames) / len(frames),
    )


def check_network(data: DataSet, loop: NetworkLoop, batch_images: int) -> Check:
    """Count score maps that differ from the reference in any bit, and cells whose best class
    differs.
    """
    differing = changed = cells = 0
    for indices in data.batches(batch_images):
        for index, scores in zip(
            indices, loop.scores([data.pixels[index] for index in indices]), strict=True
        ):
            reference = data.reference_scores[index]
            differing += not bool((scores == reference).all())
            changed += int((scores.argmax(0) != reference.argmax(0)).sum())
            cells += reference[0].numel()
    return Check(len(data.photos), differing, 100 * changed / cells)


def check_photos(data: DataSet, loop: PhotoLoop | Pipeline, batch_images: int) -> Check:
    """Count masks whose bytes differ from the reference, and pixels whose label differs."""
    differing = changed = pixels = 0
    for indices in data.batches(batch_images):
        answers = loop.run([data.jobs[index] for index in indices])
        for index, answer in zip(indices, answers, strict=True):
            reference = read_labels(data.reference_answers[index])
            differing += answer.body != data.reference_answers[index]
            changed += int((read_labels(answer.body) != reference).sum())
            pixels += reference.size
    return Check(len(data.photos), differing, 100 * changed / pixels)


def read_labels(png: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with Image.open(io.BytesIO(png)) as mask:
        return np.asarray(mask)
