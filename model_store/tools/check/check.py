"""A model folder in, its errors and warnings out, each with the fix.

An error keeps a worker from serving the folder, or makes its masks useless; a warning does not.
Called by `fcnserve model check`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from handlers.model_config import MODEL_FILE, ModelConfig
from handlers.runtime.weights import WeightsError, load_net
from model_store.tools.archive.model_folder import ModelFolderError, checked_config
from model_store.tools.convert.architecture import SCORE
from model_store.tools.convert.convert import from_config
from model_store.tools.convert.state_dict import CheckpointError, Tensors, read_checkpoint
from model_store.tools.create.create import CARD_FILE, untrained_classes
from model_store.tools.create.template import BLANK
from model_store.tools.dataset.palette import similar_pairs


@dataclass(slots=True)
class CheckResult:
    """What a check found; `config` is None where `model.yaml` cannot be read."""

    config: ModelConfig | None = None
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check(folder: Path) -> CheckResult:
    """Check all that a worker would, and more; every error is part of the result."""
    result = CheckResult()
    try:
        result.config = checked_config(folder)
        weights = matching_weights(folder, result.config)
    except (ModelFolderError, CheckpointError, WeightsError, OSError) as error:
        result.errors.append(str(error))
    else:
        result.errors += invalid_numbers(weights)
        result.warnings += untrained(result.config, weights)
    if result.config:
        result.warnings += folder_warnings(folder, result.config)
    return result


def matching_weights(folder: Path, config: ModelConfig) -> Tensors:
    """Read the weights and load the network; raises CheckpointError and WeightsError."""
    file = folder / config.weights
    if not file.is_file():
        raise CheckpointError(
            f"no {file}: `weights:` in {MODEL_FILE} names it; put it there, or make a folder that "
            "has one with `fcnserve model new` or `convert`"
        )
    state = read_checkpoint(file)
    try:
        from_config(config, state)
    except CheckpointError as error:
        reason = "\n".join(str(error).splitlines()[1:])
        raise CheckpointError(
            f"{file} does not fit {config.architecture} with {len(config.classes)} classes:\n"
            f"{reason}{class_count_hint(config, state)}"
        ) from error
    load_net(config, file)
    return state


def class_count_hint(config: ModelConfig, state: Tensors) -> str:
    """Explain that the weights are for another number of classes; empty where they are not."""
    scored = {len(weight) for name, weight in state.items() if name.startswith(SCORE)}
    if len(scored) != 1 or scored == {len(config.classes)}:
        return ""
    return (
        f"\n  these weights score {scored.pop()} classes; name as many, or create a model of your "
        "classes with `fcnserve model new --start`"
    )


def invalid_numbers(weights: Tensors) -> Iterator[str]:
    broken = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if broken:
        yield (
            f"{len(broken)} weights hold NaN or infinite numbers, such as {broken[0]}: training "
            "went wrong; take an earlier checkpoint"
        )


def untrained(config: ModelConfig, weights: Tensors) -> Iterator[str]:
    if names := untrained_classes(config, weights):
        yield f"scores nothing for {', '.join(names)}: to be trained with `fcnserve model train`"


def folder_warnings(folder: Path, config: ModelConfig) -> Iterator[str]:
    """Find what a worker accepts, but a user of the model will stumble over."""
    if config.name != folder.resolve().name:
        yield (
            f"the model is {config.name}, its folder {folder.resolve().name}: from a model store "
            "it is not served like that; give both one name"
        )
    for one, other in similar_pairs(config.palette):
        yield (
            f"{config.classes[one]} and {config.classes[other]} look alike: {config.palette[one]} "
            f"and {config.palette[other]} in `palette:`"
        )
    card = folder / CARD_FILE
    if not card.is_file():
        yield f"no {card}: write what it was trained on, what it scores, and what it is for"
    elif BLANK in card.read_text(errors="replace"):
        yield f"{card} has yet to be filled in"
