"""A checkpoint in, a model folder out: `weights.safetensors`, and a `model.yaml` to be edited.

Called by `fcnserve model convert`. The folder appears whole or not at all.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from handlers.model_config import MODEL_FILE, ModelConfig, background_among
from handlers.runtime.network import load_net
from model_store.tools.archive.atomic import appearing
from model_store.tools.archive.package import checked_config
from model_store.tools.convert.architecture import Recognised, Wish, compare
from model_store.tools.convert.layouts import recognise
from model_store.tools.convert.state_dict import CheckpointError, Tensors, read_checkpoint
from model_store.tools.dataset import voc
from model_store.tools.dataset.palette import class_colours

WEIGHTS_FILE = "weights.safetensors"

HEADER = """\
# Converted from {file}, which was recognised as {what}.
# What may be said here beyond this is in handlers/model_config.py; README.md tells how to serve it.
"""
VGG_NOTES = """\
# Precise as when published: `precision: {cpu: auto, cuda: bf16}` takes half the time, and
# labels some pixels otherwise. Photos are reduced to working_max_side before the network, which the
# published scripts do not do; a request may ask for up to max_side_limit (`max_side=`). A photo
# takes seconds on a few processors, so batches are small.
"""
VGG_SERVING = {
    "precision": {"cpu": "fp32", "cuda": "fp32"},
    "working_max_side": 1024,
    "max_side_limit": 2048,
    "batching": {"batch_size": {"cpu": 2}, "response_timeout_s": 120},
}


def convert(
    checkpoint: Path, folder: Path, wish: Wish, classes: Sequence[str] = ()
) -> tuple[Recognised, ModelConfig]:
    """Write `folder`, which is not there yet, with the network that `checkpoint` holds.

    `classes` are their names, which a network that has yet to learn them is given; others have as
    many as they score. Raises CheckpointError, which says what did not match, and OSError.
    """
    if folder.exists():
        raise CheckpointError(f"{folder} is there already; name a folder that is not")
    if checkpoint.is_dir():
        checkpoint /= checked_config(checkpoint).weights
    state = read_checkpoint(checkpoint)
    own = config_beside(checkpoint)
    if own is not None:
        if classes or wish != Wish():
            raise CheckpointError("this model's own model.yaml says what it is; leave options out")
        found = of_config(own, state)
        document = own.model_dump(mode="json", exclude_unset=True)
    else:
        found = recognise(state, replace(wish, classes=len(classes) or wish.classes))
        document = document_of(found, classes or voc.class_names(found.classes))
    document["name"], document["weights"] = folder.name, WEIGHTS_FILE
    header = HEADER.format(file=checkpoint.name, what=found.what)
    if found.vgg16 and own is None:
        header += VGG_NOTES
    return found, write(folder, header, document, found.weights)


def config_beside(checkpoint: Path) -> ModelConfig | None:
    """Read the `model.yaml` in the checkpoint's folder, where it is about this file."""
    folder = checkpoint.resolve().parent
    if not (folder / MODEL_FILE).exists():
        return None
    config = checked_config(folder)
    return config if config.weights == checkpoint.name else None


def of_config(config: ModelConfig, state: Tensors) -> Recognised:
    """Take a network as its own `model.yaml` describes it."""
    found = Recognised(
        f"our {config.architecture}",
        config.architecture,
        len(config.classes),
        config.vgg16,
        config.upsampling,
        config.normalisation,
        config.lite,
        state,
    )
    wanted = found.shapes()
    fixed = {name for name in state if name.startswith("upscore") and name not in wanted}
    compare(found.what, {name: state[name] for name in state if name not in fixed}, wanted)
    return found


def document_of(found: Recognised, classes: Sequence[str]) -> dict[str, Any]:
    """Say of a network what `model.yaml` must; raises CheckpointError for names that do not fit."""
    if len(classes) != found.classes:
        raise CheckpointError(
            f"{len(classes)} classes are named, but this network scores {found.classes}"
        )
    background = background_among(classes)
    # VOC's first colour is black, which is for a background alone
    is_voc = background == classes[0]
    palette = voc.palette(len(classes)) if is_voc else class_colours(classes, background)
    of_backbone: dict[str, Any] = {}
    if found.vgg16:
        of_backbone = {"vgg16": found.vgg16.model_dump(mode="json"), **VGG_SERVING}
    if found.lite:
        of_backbone = {"lite": found.lite.model_dump(mode="json")}
    return {
        "name": "",
        "version": "1.0",
        "architecture": found.architecture,
        **of_backbone,
        "upsampling": found.upsampling.model_dump(),
        "weights": WEIGHTS_FILE,
        "normalisation": found.normalisation.model_dump(mode="json"),
        "classes": list(classes),
        "background": background,
        "palette": [list(colour) for colour in palette],
    }


def write(folder: Path, header: str, document: dict[str, Any], weights: Tensors) -> ModelConfig:
    """Write beside `folder`, load what was written, then rename."""
    with appearing(folder) as partial:
        (partial / MODEL_FILE).write_text(header + yaml.safe_dump(document, sort_keys=False))
        config = checked_config(partial)
        save_file(in_float(weights), partial / WEIGHTS_FILE)
        load_net(config, partial / WEIGHTS_FILE)
    return config


def in_float(weights: Tensors) -> Tensors:
    return {name: tensor.to(torch.float32).contiguous() for name, tensor in weights.items()}
