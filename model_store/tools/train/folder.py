"""A network's weights as serving reads them: a model folder, or its weights file."""

from pathlib import Path

import torch
import yaml
from safetensors.torch import save
from torch import Tensor

from handlers.model_config import MODEL_FILE, ModelConfig
from handlers.runtime.network import BACKBONE
from model_store.tools.convert.architecture import COUNTERS
from model_store.tools.convert.kernels import BETWEEN
from model_store.tools.dataset.held_out import copy_notes

Tensors = dict[str, Tensor]


def write_model(folder: Path, config: ModelConfig, weights: Tensors) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = config.model_dump(mode="json", exclude_unset=True)
    (folder / MODEL_FILE).write_text(yaml.safe_dump(document, sort_keys=False))
    (folder / config.weights).write_bytes(save(in_file(weights, config)))


def in_file(weights: Tensors, config: ModelConfig) -> Tensors:
    """Name weights as files do, without batch-norm's counters and kernels that are fixed."""
    fixed = BETWEEN if config.upsampling.between == "bilinear" else ()
    left_out = {f"{layer}.weight" for layer in fixed}
    return {
        name.removeprefix(BACKBONE): value.detach().to("cpu", torch.float32).contiguous()
        for name, value in weights.items()
        if not name.endswith(COUNTERS) and name not in left_out
    }


def put_weights(source: Path, folder: Path, config: ModelConfig) -> None:
    """Give `folder` the weights of a run's best model, at once or not at all, and the run's notes
    on the photos held out.
    """
    partial = folder / f".{config.weights}"
    partial.write_bytes((source / config.weights).read_bytes())
    partial.replace(folder / config.weights)
    copy_notes(source.parent, folder)
