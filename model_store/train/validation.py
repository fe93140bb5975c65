"""Looks at the validation photos from time to time, and keeps the best weights as a model folder.

What is scored is what would be served: written as a folder, loaded as the worker loads it.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handlers.model_config import ModelConfig
from model_store.evaluate.counting import count
from model_store.evaluate.predict import in_process
from model_store.evaluate.scores import common_classes, ious, mean, pixel_accuracy
from model_store.labelled import Legend, Pair
from model_store.train.folder import Tensors, write_model

CANDIDATE, BEST = "candidate", "best"


@dataclass(frozen=True, slots=True)
class Look:
    """What the validation photos said."""

    pixel_accuracy: float
    mean_iou: float
    common_mean_iou: float  # over classes that enough photos show


@dataclass(frozen=True, slots=True)
class Validation:
    """The photos to look at, the run's folder, and where the network runs."""

    pairs: Sequence[Pair]
    run: Path
    device: str

    def look(self, config: ModelConfig, weights: Tensors) -> Look:
        """Write weights as a model folder, and score it."""
        write_model(self.run / CANDIDATE, config, weights)
        predictor = in_process(self.run / CANDIDATE, self.device)
        counts = np.stack([each for *_, each in count(self.pairs, Legend.of(config), predictor)])
        whole = counts.sum(0, dtype=np.float64)[None]
        common = ious(whole)[:, common_classes(counts)]
        figures = pixel_accuracy(whole), mean(ious(whole)), mean(common)
        return Look(*(float(figure[0]) for figure in figures))

    def keep(self) -> None:
        """Let what was looked at last be the best."""
        shutil.rmtree(self.run / BEST, ignore_errors=True)
        (self.run / CANDIDATE).rename(self.run / BEST)
