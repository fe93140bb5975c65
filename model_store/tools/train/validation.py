"""Weights in, their scores on the held-out photos out; the best are kept as a model folder.

What is scored is what would be served: written as a folder, loaded as the worker loads it. Called
by `model_store.tools.train.run`.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from handlers.model_config import ModelConfig
from model_store.tools.dataset.labelled import Legend
from model_store.tools.dataset.pairs import Pair
from model_store.tools.evaluate.counting import count
from model_store.tools.evaluate.predict import in_process
from model_store.tools.evaluate.scores import common_classes, ious, mean, pixel_accuracy
from model_store.tools.weights.write import Tensors, write_model

CANDIDATE, BEST, START = "candidate", "best", "start"


@dataclass(frozen=True, slots=True)
class ValidationScores:
    """Scores on the held-out photos."""

    pixel_accuracy: float
    mean_iou: float
    common_mean_iou: float  # over classes that enough photos show


@contextmanager
def thread_count_restored() -> Iterator[None]:
    """Restore torch's number of threads: loading a model for serving sets it to the number of
    processors, but sums depend on the number of threads, so training must keep its own.
    """
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class Validation:
    """The held-out photos, the run's folder, and the network's device."""

    pairs: Sequence[Pair]
    legend: Legend
    run: Path
    device: str

    def score(self, config: ModelConfig, weights: Tensors) -> ValidationScores:
        """Write weights as a model folder, and score it."""
        write_model(self.run / CANDIDATE, config, weights)
        with thread_count_restored():
            predictor = in_process(self.run / CANDIDATE, self.device)
            counts = np.stack([each for *_, each in count(self.pairs, self.legend, predictor)])
        total = counts.sum(0, dtype=np.float64)[None]
        common = ious(total)[:, common_classes(counts)]
        figures = pixel_accuracy(total), mean(ious(total)), mean(common)
        return ValidationScores(*(float(figure[0]) for figure in figures))

    def keep_as(self, name: str) -> None:
        """Keep the model that was scored last, as `best` or as `start`."""
        shutil.rmtree(self.run / name, ignore_errors=True)
        (self.run / CANDIDATE).rename(self.run / name)
