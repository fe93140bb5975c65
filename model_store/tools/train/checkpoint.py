"""All that a run is at one step, as one file: what is learned, the average, and the optimiser's.

The file appears at once or not at all, so a run may be stopped at any moment.
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
from model_store.tools.train.options import Options

CHECKPOINT_FILE = "checkpoint.pt"
# a mean IoU that any is better than
NONE_YET = -1.0
# of `model.yaml`: what makes weights another network's
NETWORK = {"architecture", "lite", "vgg16", "upsampling", "classes", "normalisation"}
# what a run may change when it goes on: how long and where it computes, not what it learns from
FREE = {"steps", "device", "threads", "validate_every", "allow_absent"}


class ResumeError(ValueError):
    """A checkpoint that is damaged, or of a run of another network or with other options."""


@dataclass(slots=True)
class State:
    """After `step` steps."""

    step: int
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    best: float  # mean IoU on the validation photos, or NONE_YET
    start: float = NONE_YET  # that of the weights that the run began with


def save(state: State, config: ModelConfig, options: Options, run: Path) -> None:
    document = {
        "network": config.model_dump_json(include=NETWORK),
        "options": options.model_dump_json(),
        "step": state.step,
        "weights": state.weights,
        "average": state.average,
        "optimiser": state.optimiser,
        "best": state.best,
        "start": state.start,
    }
    partial = run / f".{CHECKPOINT_FILE}"
    torch.save(document, partial)
    partial.replace(run / CHECKPOINT_FILE)


def load(run: Path, config: ModelConfig, options: Options) -> State | None:
    """Read the run's checkpoint, where there is one; raises ResumeError."""
    file = run / CHECKPOINT_FILE
    if not file.exists():
        return None
    try:
        document = torch.load(file, map_location="cpu", weights_only=True)
        begun = json.loads(document.pop("network")) | json.loads(document.pop("options"))
        state = State(**document)
    except UNREADABLE as error:
        raise ResumeError(
            f"{file} is no checkpoint of a run, or damaged; name another --run folder"
        ) from error
    check_same(file, begun, config, options)
    return state


def check_same(
    file: Path, begun: Mapping[str, object], config: ModelConfig, options: Options
) -> None:
    now = config.model_dump(mode="json", include=NETWORK) | options.model_dump(mode="json")
    changed = [
        f"{name} {was} (now {now.get(name)})"
        for name, was in begun.items()
        if name not in FREE and was != now.get(name)
    ]
    if changed:
        raise ResumeError(
            f"{file} was begun with {', '.join(changed)}; go on with the same, or name another "
            "--run folder"
        )
