"""A checkpoint in, a model folder out: `weights.safetensors`, and a `model.yaml` to be edited.

Called by `fcnserve model convert`. The folder is written atomically.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from handlers.model_config import MODEL_FILE, ModelConfig, background_among
from handlers.net.options import OPTION_KEYS, LiteOptions
from handlers.runtime.weights import load_net
from model_store.tools.archive.atomic_folder import atomic_folder
from model_store.tools.archive.model_folder import checked_config
from model_store.tools.convert.architecture import ConvertOptions, SourceNetwork, check_shapes
from model_store.tools.convert.layouts import read_network
from model_store.tools.convert.state_dict import CheckpointError, Tensors, read_checkpoint
from model_store.tools.dataset import voc
from model_store.tools.dataset.palette import class_colours

WEIGHTS_FILE = "weights.safetensors"

HEADER = """\
# Converted from {file}: {description}.
# All keys and their defaults are in handlers/model_config.py; README.md explains how to serve it.
"""
PAPER_NOTES = """\
# As precise as published: `precision: {cpu: auto, cuda: bf16}` takes half the time, and changes
# the labels of some pixels. Photos are reduced to working_max_side before the network, which the
# published scripts do not do; a request may ask for up to max_side_limit (`max_side=`). A photo
# takes seconds on a few processors, so batches are small.
"""
PAPER_SERVING = {
    "precision": {"cpu": "fp32", "cuda": "fp32"},
    "working_max_side": 1024,
    "max_side_limit": 2048,
    "batching": {"batch_size": {"cpu": 2}, "response_timeout_s": 120},
}


def convert(
    checkpoint: Path, folder: Path, options: ConvertOptions, classes: Sequence[str] = ()
) -> tuple[SourceNetwork, ModelConfig]:
    """Write `folder`, which must not exist, with the network that `checkpoint` holds.

    `classes` names the classes: of a classifier any number, of an FCN as many as it scores. Raises
    CheckpointError, which lists what did not match, and OSError.
    """
    if folder.exists():
        raise CheckpointError(f"{folder} is there already; name a folder that is not")
    if checkpoint.is_dir():
        checkpoint /= checked_config(checkpoint).weights
    own = config_beside(checkpoint)
    if own is not None:
        if classes or options != ConvertOptions():
            raise CheckpointError("this model has its own model.yaml; leave options out")
        source = from_config(own, read_checkpoint(checkpoint))
        document = own.model_dump(mode="json", exclude_unset=True)
    else:
        options = replace(options, classes=len(classes) or options.classes)
        source = read_network(checkpoint, options)
        document = model_document(source, classes or source.class_names)
    document["name"], document["weights"] = folder.name, WEIGHTS_FILE
    header = HEADER.format(file=checkpoint.name, description=source.description)
    if own is None and source.options and not isinstance(source.options, LiteOptions):
        header += PAPER_NOTES
    return source, write(folder, header, document, source.weights)


def config_beside(checkpoint: Path) -> ModelConfig | None:
    """Read the `model.yaml` in the checkpoint's folder, where it names this file."""
    folder = checkpoint.resolve().parent
    if not (folder / MODEL_FILE).exists():
        return None
    config = checked_config(folder)
    return config if config.weights == checkpoint.name else None


def from_config(config: ModelConfig, state: Tensors) -> SourceNetwork:
    """Describe a network by its own `model.yaml`; raises CheckpointError where tensors differ."""
    network = SourceNetwork(
        f"our {config.architecture}",
        config.architecture,
        len(config.classes),
        config.backbone_options,
        config.upsampling,
        config.normalisation,
        weights=state,
    )
    expected = network.shapes()
    fixed = {name for name in state if name.startswith("upscore") and name not in expected}
    trained = {name: state[name] for name in state if name not in fixed}
    check_shapes(network.description, trained, expected)
    return network


def model_document(source: SourceNetwork, classes: Sequence[str]) -> dict[str, Any]:
    """Make the `model.yaml` of a network; classes without names are VOC's, or numbered. Raises
    CheckpointError for a wrong number of names.
    """
    classes = classes or voc.class_names(source.classes)
    if len(classes) != source.classes:
        raise CheckpointError(
            f"{len(classes)} classes are named, but this network scores {source.classes}"
        )
    background = background_among(classes)
    # VOC's first colour is black, which is for a background alone
    is_voc = background == classes[0]
    palette = voc.palette(len(classes)) if is_voc else class_colours(classes, background)
    return {
        "name": "",
        "version": "1.0",
        "architecture": source.architecture,
        **backbone_keys(source),
        "upsampling": source.upsampling.model_dump(),
        "weights": WEIGHTS_FILE,
        "normalisation": source.normalisation.model_dump(mode="json"),
        "classes": list(classes),
        "background": background,
        "palette": [list(colour) for colour in palette],
    }


def backbone_keys(source: SourceNetwork) -> dict[str, Any]:
    if source.options is None:
        return {}
    key = OPTION_KEYS[type(source.options)]
    serving = {} if isinstance(source.options, LiteOptions) else PAPER_SERVING
    return {key: source.options.model_dump(mode="json"), **serving}


def write(folder: Path, header: str, document: dict[str, Any], weights: Tensors) -> ModelConfig:
    """Write the folder; loads the network from it before it gets its name."""
    with atomic_folder(folder) as partial:
        (partial / MODEL_FILE).write_text(header + yaml.safe_dump(document, sort_keys=False))
        config = checked_config(partial)
        save_file(in_float(weights), partial / WEIGHTS_FILE)
        load_net(config, partial / WEIGHTS_FILE)
    return config


def in_float(weights: Tensors) -> Tensors:
    return {name: tensor.to(torch.float32).contiguous() for name, tensor in weights.items()}
