"""Step by step, the batch that is learned from: a pure function of the seed and the step.

So a run that was interrupted goes on with the very examples that it would have had.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from handlers.model_config import ModelConfig
from handlers.shared import photo
from handlers.shared.photo import Pixels
from model_store.tools.dataset.labelled import Labels, Legend, Pair, read_pair
from model_store.tools.train.data.copy_paste import paste
from model_store.tools.train.data.crops import Example, Values, crop, lay_out
from model_store.tools.train.data.sampler import Census
from model_store.tools.train.options import Options


@dataclass(frozen=True)
class Examples:
    """Photos, masks, and how they become batches."""

    pairs: Sequence[Pair]
    config: ModelConfig
    options: Options
    census: Census
    legend: Legend
    _weights: NDArray[np.float64] = field(init=False)
    _objects: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_weights", self.census.weights(self.options.balance))
        # what may be pasted: every class but the background
        present = np.flatnonzero(self.census.shows.any(0))
        background = self.config.background_id
        objects = present if background is None else present[present != background]
        object.__setattr__(self, "_objects", objects)

    def batch(self, step: int) -> tuple[Values, Labels]:
        """Make the examples of a step: (N, side, side, 3) normalised and (N, side, side)."""
        seeds = np.random.SeedSequence((self.options.seed, step)).spawn(self.options.batch)
        made = [self._example(np.random.default_rng(seed)) for seed in seeds]
        pixels, labels = zip(*made, strict=True)
        return np.stack(pixels), np.stack(labels)

    def _example(self, random: Generator) -> tuple[Values, Labels]:
        chosen = int(random.choice(len(self.pairs), p=self._weights))
        example = self._crop(random, chosen)
        if self._objects.size and random.random() < self.options.paste:
            place = int(random.choice(self._objects))
            source = int(random.choice(self.census.showing(place)))
            example = paste(random, example, self._crop(random, source), place)
        normalisation = self.config.normalisation
        mean, std = (np.array(each, np.float32) for each in (normalisation.mean, normalisation.std))
        return lay_out(example, self.options.crop, mean, std)

    def _crop(self, random: Generator, place: int) -> Example:
        pixels, labels = self._read(self.pairs[place])
        scales = self.options.scale_low, self.options.scale_high
        return crop(random, pixels, labels, self.options.crop, scales)

    def _read(self, pair: Pair) -> tuple[Pixels, Labels]:
        """Read at the working size, which is what the network sees in service."""
        pixels, labels = read_pair(pair, self.legend)
        height, width = labels.shape
        size = photo.fit(height, width, self.config.working_max_side)
        return photo.reduce(pixels, size), nearest(labels, size)


def nearest(labels: Labels, size: tuple[int, int]) -> Labels:
    """Take labels at the centres of a reduced photo's pixels."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size, labels.shape, strict=True)
    )
    return np.asarray(labels[rows[:, None], columns])
