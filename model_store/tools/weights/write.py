"""A network's weights in, a model folder or its weights file out, as serving reads them.

Called by `fcnserve model train`, its validation, and `model_store.tools.create`.
"""

from pathlib import Path

import torch
import yaml
from safetensors.torch import save
from torch import Tensor

from handlers.model_config import MODEL_FILE, ModelConfig
from handlers.runtime.weights import BACKBONE
from model_store.tools.convert.architecture import COUNTERS
from model_store.tools.convert.kernels import BETWEEN
from model_store.tools.dataset.held_out import copy_lists

Tensors = dict[str, Tensor]


def write_model(folder: Path, config: ModelConfig, weights: Tensors) -> None:
    """Write `model.yaml` and the weights file."""
    folder.mkdir(parents=True, exist_ok=True)
    document = config.model_dump(mode="json", exclude_unset=True)
    (folder / MODEL_FILE).write_text(yaml.safe_dump(document, sort_keys=False))
    (folder / config.weights).write_bytes(save(file_tensors(weights, config)))


def file_tensors(weights: Tensors, config: ModelConfig) -> Tensors:
    """Name weights as files do, in fp32, without batch-norm's counters and fixed kernels."""
    fixed = BETWEEN if config.upsampling.between == "bilinear" else ()
    left_out = {f"{layer}.weight" for layer in fixed}
    return {
        name.removeprefix(BACKBONE): value.detach().to("cpu", torch.float32).contiguous()
        for name, value in weights.items()
        if not name.endswith(COUNTERS) and name not in left_out
    }


def put_weights(best: Path, weights: Path) -> None:
    """Replace the file `weights` atomically with that of the run's model folder `best`.

    The run's lists of held-out photos are copied beside it.
    """
    partial = weights.with_name(f".{weights.name}")
    partial.write_bytes((best / weights.name).read_bytes())
    partial.replace(weights)
    copy_lists(best.parent, weights.parent)
