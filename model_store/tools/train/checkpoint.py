"""A run's complete state at one step, as one file: weights, their average, the optimiser's state.

The file is written atomically, so a run may be stopped at any moment. Called by
`model_store.tools.train.run`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handlers.model_config import ModelConfig
from model_store.tools.convert.state_dict import UNREADABLE
from model_store.tools.train.options import TrainOptions

CHECKPOINT_FILE = "checkpoint.pt"
# lower than any mean IoU
NO_SCORE = -1.0
# keys of `model.yaml` that define the network and its inputs
NETWORK = {"architecture", "lite", "vgg16", "upsampling", "classes", "normalisation"}
# options that a resumed run may change: its length and its device, not what is trained on
FREE = {"steps", "device", "threads", "validate_every", "allow_absent"}


class ResumeError(ValueError):
    """A checkpoint that is damaged, or of a run of another network or with other options."""


@dataclass(slots=True)
class Checkpoint:
    """The state after `step` steps."""

    step: int
    weights: dict[str, Tensor]
    average: dict[str, Tensor]  # the exponential moving average (EMA) of the weights
    optimiser: dict[str, Any]
    best: float  # mean IoU on the validation photos, or NO_SCORE
    start: float = NO_SCORE  # that of the initial weights


def save(checkpoint: Checkpoint, config: ModelConfig, options: TrainOptions, run: Path) -> None:
    """Write the checkpoint, with the network and options that it belongs to."""
    document = {
        "network": config.model_dump_json(include=NETWORK),
        "options": options.model_dump_json(),
        "step": checkpoint.step,
        "weights": checkpoint.weights,
        "average": checkpoint.average,
        "optimiser": checkpoint.optimiser,
        "best": checkpoint.best,
        "start": checkpoint.start,
    }
    partial = run / f".{CHECKPOINT_FILE}"
    torch.save(document, partial)
    partial.replace(run / CHECKPOINT_FILE)


def load(run: Path, config: ModelConfig, options: TrainOptions) -> Checkpoint | None:
    """Read the run's checkpoint, where there is one; raises ResumeError."""
    file = run / CHECKPOINT_FILE
    if not file.exists():
        return None
    try:
        document = torch.load(file, map_location="cpu", weights_only=True)
        saved = json.loads(document.pop("network")) | json.loads(document.pop("options"))
        checkpoint = Checkpoint(**document)
    except UNREADABLE as error:
        raise ResumeError(
            f"{file} is no checkpoint of a run, or damaged; name another --run folder"
        ) from error
    check_same(file, saved, config, options)
    return checkpoint


def check_same(
    file: Path, saved: Mapping[str, object], config: ModelConfig, options: TrainOptions
) -> None:
    """Raise ResumeError where the network or an option that is not free has changed."""
    now = config.model_dump(mode="json", include=NETWORK) | options.model_dump(mode="json")
    changed = [
        f"{name} {was} (now {now.get(name)})"
        for name, was in saved.items()
        if name not in FREE and was != now.get(name)
    ]
    if changed:
        raise ResumeError(
            f"{file} was begun with {', '.join(changed)}; resume with the same, or name another "
            "--run folder"
        )
