"""A classifier with fully connected layers in, an FCN without trained scores out.

Called by the readers of `model_store.tools.convert` for VGG16 and AlexNet, of torchvision and of
caffe.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from model_store.tools.convert.architecture import (
    SCORE,
    Shape,
    SourceNetwork,
    check_shapes,
    zero_scores,
)
from model_store.tools.convert.convolutional import as_convolution
from model_store.tools.convert.state_dict import Tensors

# layers whose weights are flat in a classifier: (4096, 25088)
FLAT = ("fc6.weight", "fc7.weight")


def read_classifier(
    state: Tensors, network: SourceNetwork, names: Mapping[str, str]
) -> SourceNetwork:
    """Fill a network with the weights of a classifier, less its last layer; `names` maps our names
    to the classifier's. Raises CheckpointError.
    """
    shapes = network.shapes()
    check_shapes(network.description, state, flat_shapes(shapes, names))
    weights = {ours: state[theirs] for ours, theirs in names.items()}
    for name in FLAT:
        weights[name] = as_convolution(weights[name], shapes[name][2:])
    return replace(network, weights=weights | zero_scores(network))


def flat_shapes(shapes: Mapping[str, Shape], names: Mapping[str, str]) -> dict[str, Shape]:
    """Give the shapes by the classifier's names."""
    return {
        names[ours]: (shape[0], math.prod(shape[1:])) if ours in FLAT else shape
        for ours, shape in shapes.items()
        if not ours.startswith(SCORE)
    }
