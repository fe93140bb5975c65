"""A checkpoint of this project without its `model.yaml` in, its network out.

Called by `model_store.tools.convert.layouts`.
"""

from dataclasses import dataclass, replace

from handlers.net.options import LITE_NAMES, BackboneName, BackboneOptions, Upsampling
from model_store.tools.convert.architecture import (
    ConvertOptions,
    SourceNetwork,
    check_shapes,
    closest,
)
from model_store.tools.convert.efficientnet_lite import EXPAND
from model_store.tools.convert.fcn_layers import class_count, stride_of, vgg_options
from model_store.tools.convert.kernels import BETWEEN, LAST, simplify, stored_form
from model_store.tools.convert.state_dict import Tensors


@dataclass(frozen=True, slots=True)
class Backbone:
    """A backbone's name and options."""

    name: BackboneName
    options: BackboneOptions | None = None


def read_own_vgg(state: Tensors, options: ConvertOptions) -> SourceNetwork:
    """Read an FCN on VGG16; raises CheckpointError."""
    names = {name: name for name in state}
    return read_own(state, Backbone("vgg16", vgg_options(state, names, options)))


def read_own_lite(state: Tensors, _options: ConvertOptions) -> SourceNetwork:
    """Read an FCN on the member of EfficientNet-Lite that matches best; raises CheckpointError."""
    each = [Backbone(name, lite) for name in LITE_NAMES for lite in (None, EXPAND)]
    shapes = ((backbone, network_on(backbone, state).shapes()) for backbone in each)
    return read_own(state, closest(state, shapes))


def read_own(state: Tensors, backbone: Backbone, origin: str = "our") -> SourceNetwork:
    """Read an FCN whose layers have our names; raises CheckpointError."""
    network = network_on(backbone, state, origin)
    check_shapes(network.description, state, network.shapes())
    upsampling, weights = simplify(state)
    return replace(network, upsampling=upsampling, weights=weights)


def network_on(backbone: Backbone, state: Tensors, origin: str = "our") -> SourceNetwork:
    """Describe an FCN on this backbone, with the stride and kernels that the names show."""
    architecture = f"fcn{stride_of(state)}s-{backbone.name}"
    return SourceNetwork(
        f"{origin} {architecture}",
        architecture,
        class_count(state),
        backbone.options,
        Upsampling(between=stored_form(state, BETWEEN), last=stored_form(state, LAST)),
    )
