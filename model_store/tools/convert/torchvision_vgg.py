"""torchvision's VGG16, a classifier, in; an FCN without trained scores out.

Called by `model_store.tools.convert.layouts`.
"""

from handlers.model_config import Normalisation
from handlers.net.vgg16 import STAGE_LAYERS
from model_store.tools.convert.architecture import ConvertOptions, SourceNetwork, without
from model_store.tools.convert.classifier import read_classifier
from model_store.tools.convert.fcn_layers import vgg_options
from model_store.tools.convert.state_dict import Tensors

# torchvision's networks take values of 0 to 1, ours of 0 to 255
TORCHVISION = Normalisation(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), std=(0.229 * 255, 0.224 * 255, 0.225 * 255)
)


def read_torchvision(state: Tensors, options: ConvertOptions) -> SourceNetwork:
    """Make an FCN of torchvision's VGG16; raises CheckpointError."""
    names = torchvision_names()
    network = SourceNetwork(
        "torchvision's VGG16",
        f"fcn{options.stride}s-vgg16",
        options.classes,
        vgg_options(state, names, options),
        normalisation=TORCHVISION,
    )
    return read_classifier(without(state, "classifier.6."), network, names)


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
