"""torchvision's VGG16, a classifier, in; an FCN without trained scores out.

Called by `model_store.tools.convert.layouts`.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from handlers.model_config import Normalisation
from handlers.net.vgg16 import FC6_KERNEL, STAGE_LAYERS
from model_store.tools.convert.architecture import (
    SCORE,
    ConvertOptions,
    Shape,
    SourceNetwork,
    check_shapes,
    without,
    zero_scores,
)
from model_store.tools.convert.convolutional import as_convolution
from model_store.tools.convert.fcn_layers import vgg_options
from model_store.tools.convert.state_dict import Tensors

# torchvision's networks take values of 0 to 1, ours of 0 to 255
TORCHVISION = Normalisation(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), std=(0.229 * 255, 0.224 * 255, 0.225 * 255)
)
FLAT = ("fc6.weight", "fc7.weight")


def read_torchvision(state: Tensors, options: ConvertOptions) -> SourceNetwork:
    """Make an FCN of the classifier; raises CheckpointError."""
    names = torchvision_names()
    vgg16 = vgg_options(state, names, options)
    architecture = f"fcn{options.stride}s-vgg16"
    network = SourceNetwork("torchvision's VGG16", architecture, options.classes, vgg16)
    check_shapes(
        network.description, without(state, "classifier.6."), classifier_shapes(network, names)
    )
    weights = {ours: state[theirs] for ours, theirs in names.items()}
    weights["fc6.weight"] = as_convolution(weights["fc6.weight"], (FC6_KERNEL, FC6_KERNEL))
    weights["fc7.weight"] = as_convolution(weights["fc7.weight"], (1, 1))
    return replace(network, weights=weights | zero_scores(network), normalisation=TORCHVISION)


def classifier_shapes(network: SourceNetwork, names: Mapping[str, str]) -> dict[str, Shape]:
    """Give the shapes by torchvision's names; its fully connected layers are flat."""
    return {
        names[ours]: (shape[0], math.prod(shape[1:])) if ours in FLAT else shape
        for ours, shape in network.shapes().items()
        if not ours.startswith(SCORE)
    }


def torchvision_names() -> dict[str, str]:
    """Map our names to torchvision's, which number a ReLU a convolution and a pool a stage."""
    names, number = {"fc6": "classifier.0", "fc7": "classifier.3"}, 0
    for stage, layers in enumerate(STAGE_LAYERS, 1):
        for layer in range(1, layers + 1):
            names[f"conv{stage}_{layer}"] = f"features.{number}"
            number += 2
        number += 1
    return {
        f"{ours}.{part}": f"{theirs}.{part}"
        for ours, theirs in names.items()
        for part in ("weight", "bias")
    }
