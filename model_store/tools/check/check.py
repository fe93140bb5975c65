"""A model folder in, all that is wrong with it out, each in words that say what to do.

Errors keep a worker from serving it, or make its masks useless; the rest are doubts. Called by
`fcnserve model check`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from handlers.model_config import MODEL_FILE, ModelConfig
from handlers.runtime.network import WeightsError, load_net
from model_store.tools.archive.package import ModelFolderError, checked_config
from model_store.tools.convert.architecture import SCORE
from model_store.tools.convert.convert import of_config
from model_store.tools.convert.state_dict import CheckpointError, Tensors, read_checkpoint
from model_store.tools.create.create import CARD_FILE, unlearned
from model_store.tools.create.template import BLANK
from model_store.tools.dataset.palette import look_alikes


@dataclass(slots=True)
class Checked:
    """What was found; a folder without a `model.yaml` that can be read has no configuration."""

    config: ModelConfig | None = None
    errors: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def check(folder: Path) -> Checked:
    """Look at all that a worker would, and at more; raises nothing for what it finds."""
    found = Checked()
    try:
        found.config = checked_config(folder)
        weights = fitting_weights(folder, found.config)
    except (ModelFolderError, CheckpointError, WeightsError, OSError) as error:
        found.errors.append(str(error))
    else:
        found.errors += broken_numbers(weights)
        found.doubts += untrained(found.config, weights)
    if found.config:
        found.doubts += doubts(folder, found.config)
    return found


def fitting_weights(folder: Path, config: ModelConfig) -> Tensors:
    """Read the weights and load the network; raises CheckpointError and WeightsError."""
    file = folder / config.weights
    if not file.is_file():
        raise CheckpointError(
            f"no {file}: `weights:` in {MODEL_FILE} names it; put it there, or make a folder that "
            "has one with `fcnserve model new` or `convert`"
        )
    state = read_checkpoint(file)
    try:
        of_config(config, state)
    except CheckpointError as error:
        reason = "\n".join(str(error).splitlines()[1:])
        raise CheckpointError(
            f"{file} does not fit {config.architecture} with {len(config.classes)} classes:\n"
            f"{reason}{other_classes(config, state)}"
        ) from error
    load_net(config, file)
    return state


def other_classes(config: ModelConfig, state: Tensors) -> str:
    """Say so where weights are for another number of classes."""
    scored = {len(weight) for name, weight in state.items() if name.startswith(SCORE)}
    if len(scored) != 1 or scored == {len(config.classes)}:
        return ""
    return (
        f"\n  these weights score {scored.pop()} classes; name as many, or begin a model of your "
        "classes with `fcnserve model new --start`"
    )


def broken_numbers(weights: Tensors) -> Iterator[str]:
    broken = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if broken:
        yield (
            f"{len(broken)} weights hold numbers that are none (NaN or infinite), such as "
            f"{broken[0]}: training went wrong; take an earlier checkpoint"
        )


def untrained(config: ModelConfig, weights: Tensors) -> Iterator[str]:
    if names := unlearned(config, weights):
        yield f"scores nothing for {', '.join(names)}: to be trained with `fcnserve model train`"


def doubts(folder: Path, config: ModelConfig) -> Iterator[str]:
    """Find what a worker does not mind, and people will."""
    if config.name != folder.resolve().name:
        yield (
            f"the model is {config.name}, its folder {folder.resolve().name}: from a model store "
            "it is not served like that; give both one name"
        )
    for one, other in look_alikes(config.palette):
        yield (
            f"{config.classes[one]} and {config.classes[other]} look alike: {config.palette[one]} "
            f"and {config.palette[other]} in `palette:`"
        )
    card = folder / CARD_FILE
    if not card.is_file():
        yield f"no {card}: say what it was trained on, what it scores, and what it is for"
    elif BLANK in card.read_text(errors="replace"):
        yield f"{card} has yet to be filled in"
