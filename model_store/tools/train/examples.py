"""A step in, its training batch out: a pure function of the seed and the step.

A resumed run therefore has exactly the batches that the uninterrupted run would have had. Called by
`model_store.tools.train.run`, through `prefetch`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from handlers.model_config import ModelConfig
from handlers.shared import photo
from handlers.shared.photo import Pixels
from model_store.tools.dataset.labelled import Labels, Legend, read_pair
from model_store.tools.dataset.pairs import Pair
from model_store.tools.train.data.copy_paste import copy_paste
from model_store.tools.train.data.crops import Example, Values, crop, pad_to_square
from model_store.tools.train.data.sampler import ClassPresence
from model_store.tools.train.options import TrainOptions


@dataclass(frozen=True)
class Examples:
    """Photos, masks, and the options by which they become batches."""

    pairs: Sequence[Pair]
    config: ModelConfig
    options: TrainOptions
    presence: ClassPresence
    legend: Legend
    _probabilities: NDArray[np.float64] = field(init=False)
    _pasted_classes: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        probabilities = self.presence.probabilities(self.options.balance)
        object.__setattr__(self, "_probabilities", probabilities)
        # every class but the background
        present = np.flatnonzero(self.presence.shows.any(0))
        background = self.config.background_id
        objects = present if background is None else present[present != background]
        object.__setattr__(self, "_pasted_classes", objects)

    def batch(self, step: int) -> tuple[Values, Labels]:
        """Make the batch of a step: (N, side, side, 3) normalised and (N, side, side)."""
        seeds = np.random.SeedSequence((self.options.seed, step)).spawn(self.options.batch)
        examples = [self._example(np.random.default_rng(seed)) for seed in seeds]
        pixels, labels = zip(*examples, strict=True)
        return np.stack(pixels), np.stack(labels)

    def _example(self, random: Generator) -> tuple[Values, Labels]:
        number = int(random.choice(len(self.pairs), p=self._probabilities))
        example = self._crop(random, number)
        if self._pasted_classes.size and random.random() < self.options.paste:
            class_id = int(random.choice(self._pasted_classes))
            source = int(random.choice(self.presence.photos_showing(class_id)))
            example = copy_paste(random, example, self._crop(random, source), class_id)
        normalisation = self.config.normalisation
        mean, std = (np.array(each, np.float32) for each in (normalisation.mean, normalisation.std))
        return pad_to_square(example, self.options.crop, mean, std)

    def _crop(self, random: Generator, number: int) -> Example:
        pixels, labels = self._read(self.pairs[number])
        scales = self.options.scale_low, self.options.scale_high
        return crop(random, pixels, labels, self.options.crop, scales)

    def _read(self, pair: Pair) -> tuple[Pixels, Labels]:
        """Read at the working size, which is the network's input in service."""
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
