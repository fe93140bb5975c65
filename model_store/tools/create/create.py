"""Classes of one's own in, a model folder to be trained out: weights, `model.yaml` and `CARD.md`.

The network begins as a model or checkpoint that is there, or with a backbone's ImageNet weights.
Classes that it knows by name keep their scores; the others score zero until they are trained.
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
from handlers.net.options import ARCHITECTURE_PARTS
from model_store.tools.archive.atomic import appearing
from model_store.tools.archive.package import ModelFolderError, checked_config
from model_store.tools.archive.yaml_errors import findings_of
from model_store.tools.convert.architecture import SCORE
from model_store.tools.convert.convert import WEIGHTS_FILE, config_beside, document_of
from model_store.tools.convert.layouts import recognise
from model_store.tools.convert.state_dict import Tensors, read_checkpoint
from model_store.tools.create import template
from model_store.tools.dataset import voc
from model_store.tools.dataset.palette import class_colours
from model_store.tools.train.folder import in_file
from model_store.tools.train.start import IMAGENET, begin, read_start

# the models that come with this project; the first is what is served unless settings say more
SHIPPED = tuple(Path(model_store.__file__).parent / name for name in ("fcn8s-lite2", "fcn8s-lite0"))
CARD_FILE = "CARD.md"
FEWEST_CLASSES = 2


@dataclass(frozen=True, slots=True)
class Start:
    """What a model begins as: its words, its `model.yaml`, and the classes that it scores."""

    what: str
    document: dict[str, Any]
    classes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A new folder's model, what it began as, and the classes that it has yet to learn."""

    config: ModelConfig
    what: str
    unlearned: list[str]


def new(folder: Path, classes: Sequence[str], start: str = "", architecture: str = "") -> Made:
    """Write `folder`, which is not there yet; its name is the model's.

    `start` is `imagenet`, a model's folder or a checkpoint; unless given, the model that comes with
    this project, or ImageNet's weights where that has another backbone. Raises ModelFolderError,
    CheckpointError and OSError.
    """
    if folder.exists():
        raise ModelFolderError(f"{folder} is there already; name a folder that is not")
    if len(classes) < FEWEST_CLASSES:
        raise ModelFolderError(
            f"{', '.join(classes)} is one class; name at least two, what is none of the others "
            f"being background: background,{classes[0]}"
        )
    start = start or usual_start(architecture)
    begun = describe(start, architecture)
    config = config_of(begun.document | own_keys(folder.resolve().name, classes))
    weights = in_file(begin(config, scoring(begun, start, config)).state_dict(), config)
    with appearing(folder) as partial:
        (partial / MODEL_FILE).write_text(template.model_yaml(config, begun.what))
        (partial / CARD_FILE).write_text(template.card(config, begun.what))
        save_file(weights, partial / WEIGHTS_FILE)
        checked_config(partial)
    return Made(config, begun.what, unlearned(config, weights))


def usual_start(architecture: str) -> str:
    ours = {backbone_of(checked_config(folder).architecture): folder for folder in SHIPPED}
    wanted = backbone_of(architecture) if architecture else next(iter(ours))
    return str(ours.get(wanted, IMAGENET))


def backbone_of(architecture: str) -> str:
    """Name the backbone; nothing for what is no architecture, which others complain of."""
    return ARCHITECTURE_PARTS[architecture][1] if architecture in ARCHITECTURE_PARTS else ""


def describe(start: str, architecture: str) -> Start:
    """Read what a start says of itself; raises CheckpointError and ModelFolderError."""
    wanted = {"architecture": architecture} if architecture else {}
    if start == IMAGENET:
        usual = checked_config(SHIPPED[0]).model_dump(mode="json", include={"architecture", "lite"})
        return Start("ImageNet's weights", for_backbone(usual, architecture) | wanted)
    file = Path(start)
    if file.is_dir():
        file /= checked_config(file).weights
    if own := config_beside(file):
        document = own.model_dump(mode="json", exclude_unset=True)
        document = for_backbone(document, architecture) | wanted
        return Start(f"{own.name} {own.version}", document, own.classes)
    found = recognise(read_checkpoint(file))
    names = voc.class_names(found.classes)
    return Start(found.what, document_of(found, names) | wanted, names)


def for_backbone(document: Mapping[str, Any], architecture: str) -> dict[str, Any]:
    """Leave out what is said of a backbone that is not asked for."""
    others = {"lite"} if backbone_of(architecture) == "vgg16" else set()
    return {key: value for key, value in document.items() if key not in others}


def own_keys(name: str, classes: Sequence[str]) -> dict[str, object]:
    background = background_among(classes)
    return {
        "name": name,
        "version": "1.0",
        "weights": WEIGHTS_FILE,
        "classes": list(classes),
        "background": background,
        "palette": [list(colour) for colour in class_colours(classes, background)],
    }


def config_of(document: Mapping[str, object]) -> ModelConfig:
    try:
        return ModelConfig.model_validate(document)
    except ValidationError as error:
        raise ModelFolderError("; ".join(findings_of(error))) from error


def scoring(begun: Start, start: str, config: ModelConfig) -> Tensors:
    """Read a start's weights, with its scores of the classes that are wanted, in their order."""
    weights = read_start(start, config)
    places = {
        place: begun.classes.index(name)
        for place, name in enumerate(config.classes)
        if name in begun.classes
    }
    for name, scores in weights.items():
        if name.startswith(SCORE):
            kept = torch.zeros(len(config.classes), *scores.shape[1:])
            kept[list(places)] = scores[list(places.values())]
            weights[name] = kept
    return weights


def unlearned(config: ModelConfig, weights: Tensors) -> list[str]:
    """Name the classes whose scores are zero whatever is in the photo."""
    scores = [weight.flatten(1) for name, weight in weights.items() if is_score(name)]
    known = torch.cat(scores, 1).any(1)
    return [name for name, knows in zip(config.classes, known, strict=True) if not knows]


def is_score(name: str) -> bool:
    return name.startswith(SCORE) and name.endswith(".weight")
