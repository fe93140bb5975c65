"""Class names in, a model folder to be trained out: weights, `model.yaml` and `CARD.md`.

The network starts from an existing model or checkpoint, or from a backbone's ImageNet weights.
Classes that the start has by name keep their scores; the others score zero until they are trained.
Called by `fcnserve model new`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import save_file

import model_store
from handlers.model_config import MODEL_FILE, ModelConfig, background_among
from handlers.net.options import ARCHITECTURE_PARTS, OPTION_KEYS, option_key
from model_store.tools.archive.atomic_folder import atomic_folder
from model_store.tools.archive.model_folder import ModelFolderError, checked_config
from model_store.tools.archive.yaml_errors import yaml_errors
from model_store.tools.convert.architecture import SCORE
from model_store.tools.convert.convert import WEIGHTS_FILE, config_beside, model_document
from model_store.tools.convert.layouts import read_network
from model_store.tools.convert.state_dict import Tensors
from model_store.tools.create import template
from model_store.tools.dataset import voc
from model_store.tools.dataset.palette import class_colours
from model_store.tools.weights.initial import IMAGENET, build_initial, read_start
from model_store.tools.weights.write import file_tensors

# the models that come with this project; the first is the default of the settings
SHIPPED = tuple(Path(model_store.__file__).parent / name for name in ("fcn8s-lite2", "fcn8s-lite0"))
CARD_FILE = "CARD.md"
MIN_CLASSES = 2


@dataclass(frozen=True, slots=True)
class Start:
    """What a model starts from: its description, its `model.yaml`, and the classes it scores."""

    description: str
    document: dict[str, Any]
    classes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class NewModel:
    """A new folder's configuration, what it started from, and the classes yet to be trained."""

    config: ModelConfig
    start: str
    untrained: list[str]


def create_model(
    folder: Path, classes: Sequence[str], start: str = "", architecture: str = ""
) -> NewModel:
    """Write `folder`, which must not exist; its name is the model's.

    `start` is `imagenet`, a model's folder or a checkpoint. The default is the model that comes
    with this project, or ImageNet weights for other backbones. Raises ModelFolderError,
    CheckpointError and OSError.
    """
    check_arguments(folder, classes)
    source = start or default_start(architecture)
    read = describe(source, architecture)
    config = validated(read.document | own_keys(folder.resolve().name, classes))
    initial = weights_with_class_scores(read, source, config)
    weights = file_tensors(build_initial(config, initial).state_dict(), config)
    with atomic_folder(folder) as partial:
        (partial / MODEL_FILE).write_text(template.model_yaml(config, read.description))
        (partial / CARD_FILE).write_text(template.card(config, read.description))
        save_file(weights, partial / WEIGHTS_FILE)
        checked_config(partial)
    return NewModel(config, read.description, untrained_classes(config, weights))


def check_arguments(folder: Path, classes: Sequence[str]) -> None:
    if folder.exists():
        raise ModelFolderError(f"{folder} is there already; name a folder that is not")
    if len(classes) < MIN_CLASSES:
        raise ModelFolderError(
            f"{', '.join(classes)} is one class; name at least two, what is none of the others "
            f"being background: background,{classes[0]}"
        )


def default_start(architecture: str) -> str:
    shipped = {backbone_of(checked_config(folder).architecture): folder for folder in SHIPPED}
    backbone = backbone_of(architecture) if architecture else next(iter(shipped))
    return str(shipped.get(backbone, IMAGENET))


def backbone_of(architecture: str) -> str:
    """Name the backbone; empty for an unknown architecture, which `validated` rejects."""
    return ARCHITECTURE_PARTS[architecture][1] if architecture in ARCHITECTURE_PARTS else ""


def describe(start: str, architecture: str) -> Start:
    """Read the start's own description; raises CheckpointError and ModelFolderError."""
    override = {"architecture": architecture} if architecture else {}
    if start == IMAGENET:
        keys = checked_config(SHIPPED[0]).model_dump(mode="json", include={"architecture", "lite"})
        return Start("ImageNet's weights", for_backbone(keys, architecture) | override)
    file = Path(start)
    if file.is_dir():
        file /= checked_config(file).weights
    if own := config_beside(file):
        document = own.model_dump(mode="json", exclude_unset=True)
        document = for_backbone(document, architecture) | override
        return Start(f"{own.name} {own.version}", document, own.classes)
    source = read_network(file)
    names = source.class_names or voc.class_names(source.classes)
    return Start(source.description, model_document(source, names) | override, names)


def for_backbone(document: Mapping[str, Any], architecture: str) -> dict[str, Any]:
    """Leave out the options of other backbones than the architecture's."""
    known = architecture in ARCHITECTURE_PARTS
    others = {*OPTION_KEYS.values()} - {option_key(architecture)} if known else set()
    return {key: value for key, value in document.items() if key not in others}


def own_keys(name: str, classes: Sequence[str]) -> dict[str, object]:
    """Give the keys of `model.yaml` that a new model does not take over from its start."""
    background = background_among(classes)
    return {
        "name": name,
        "version": "1.0",
        "weights": WEIGHTS_FILE,
        "classes": list(classes),
        "background": background,
        "palette": [list(colour) for colour in class_colours(classes, background)],
    }


def validated(document: Mapping[str, object]) -> ModelConfig:
    try:
        return ModelConfig.model_validate(document)
    except ValidationError as error:
        raise ModelFolderError("; ".join(yaml_errors(error))) from error


def weights_with_class_scores(start: Start, source: str, config: ModelConfig) -> Tensors:
    """Read a start's weights; reorder its score layers to the new model's classes."""
    weights = read_start(source, config)
    common = {
        number: start.classes.index(name)
        for number, name in enumerate(config.classes)
        if name in start.classes
    }
    for name, scores in weights.items():
        if name.startswith(SCORE):
            kept = torch.zeros(len(config.classes), *scores.shape[1:])
            kept[list(common)] = scores[list(common.values())]
            weights[name] = kept
    return weights


def untrained_classes(config: ModelConfig, weights: Tensors) -> list[str]:
    """Name the classes whose scores are zero whatever is in the photo."""
    scores = [weight.flatten(1) for name, weight in weights.items() if is_score(name)]
    trained = torch.cat(scores, 1).any(1)
    return [name for name, any_score in zip(config.classes, trained, strict=True) if not any_score]


def is_score(name: str) -> bool:
    return name.startswith(SCORE) and name.endswith(".weight")
