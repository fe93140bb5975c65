"""Looks at the validation photos from time to time, and keeps the best weights as a model folder.

What is scored is what would be served: written as a folder, loaded as the worker loads it.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from handlers.model_config import ModelConfig
from model_store.tools.dataset.labelled import Legend, Pair
from model_store.tools.evaluate.counting import count
from model_store.tools.evaluate.predict import in_process
from model_store.tools.evaluate.scores import common_classes, ious, mean, pixel_accuracy
from model_store.tools.train.folder import Tensors, write_model

CANDIDATE, BEST, START = "candidate", "best", "start"


@dataclass(frozen=True, slots=True)
class Look:
    """What the validation photos said."""

    pixel_accuracy: float
    mean_iou: float
    common_mean_iou: float  # over classes that enough photos show


@contextmanager
def threads_kept() -> Iterator[None]:
    """Serving takes as many threads as there are processors; sums depend on how many add them up,
    so training goes on with its own.
    """
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class Validation:
    """The photos to look at, the run's folder, and where the network runs."""

    pairs: Sequence[Pair]
    legend: Legend
    run: Path
    device: str

    def look(self, config: ModelConfig, weights: Tensors) -> Look:
        """Write weights as a model folder, and score it."""
        write_model(self.run / CANDIDATE, config, weights)
        with threads_kept():
            predictor = in_process(self.run / CANDIDATE, self.device)
            counts = np.stack([each for *_, each in count(self.pairs, self.legend, predictor)])
        whole = counts.sum(0, dtype=np.float64)[None]
        common = ious(whole)[:, common_classes(counts)]
        figures = pixel_accuracy(whole), mean(ious(whole)), mean(common)
        return Look(*(float(figure[0]) for figure in figures))

    def keep(self, name: str) -> None:
        """Let what was looked at last be the best, or what the run began with."""
        shutil.rmtree(self.run / name, ignore_errors=True)
        (self.run / CANDIDATE).rename(self.run / name)
