"""A `.caffemodel` in, its network with our names out: the paper's FCNs, VGG16 and AlexNet.

Called by `model_store.tools.convert.layouts`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from handlers.net.options import ARCHITECTURE_PARTS, BackboneName, BackboneOptions, ResponseNorm
from model_store.tools.convert.alexnet import (
    TORCHVISION_LAYERS,
    alexnet_options,
    parameter_names,
    read_alexnet_fcn,
)
from model_store.tools.convert.architecture import (
    DEFAULT,
    SCORE,
    ConvertOptions,
    Head,
    SourceNetwork,
    without,
)
from model_store.tools.convert.caffe.data_sets import class_names, normalisation_of
from model_store.tools.convert.caffe.net_parameter import Layer, read_layers
from model_store.tools.convert.classifier import FLAT, read_classifier
from model_store.tools.convert.fcn_layers import vgg_options
from model_store.tools.convert.kernels import in_form
from model_store.tools.convert.published_fcn import read_published_fcn
from model_store.tools.convert.state_dict import CheckpointError, Tensors
from model_store.tools.convert.torchvision_vgg import torchvision_names

CAFFE_SUFFIX = ".caffemodel"
# each backbone's first layer
STEMS: dict[BackboneName, str] = {"vgg16": "conv1_1", "alexnet": "conv1"}
PAPER_PADDING = 100
# of a convolution's weights
KERNEL_DIMENSIONS = 4
# of transposed convolutions
UPSCORE = "upscore"
# fully connected layers of classifiers; old files have their weights as (1, 1, out, in)
CONNECTED = ("fc6", "fc7", "fc8")
PARTS = ("weight", "bias")
# suffixes of layers in networks with two heads
HEADS: dict[Head, str] = {"semantic": "_sem", "geometric": "_geo"}
# layers that scale pooled features in networks trained at once, by the layer that reads them
SCALES = {"score_pool4": "scale_pool4", "score_pool3": "scale_pool3"}


def read_caffemodel(file: Path, options: ConvertOptions) -> SourceNetwork:
    """Read a binary checkpoint of caffe; raises CheckpointError."""
    layers = read_layers(file)
    check_input(layers)
    state = of_head(tensors(layers), options.head)
    backbone = next((each for each, stem in STEMS.items() if f"{stem}.weight" in state), None)
    if backbone is None:
        raise CheckpointError(
            f"{file} has no layer conv1_1 or conv1 with weights, but "
            f"{', '.join(sorted(state)[:4])} ...; known are the paper's FCNs, VGG16 and AlexNet"
        )
    is_fcn = any(name.startswith((SCORE, UPSCORE)) for name in state)
    check_options(options, state, backbone, is_fcn=is_fcn)
    read = read_fcn if is_fcn else read_caffe_classifier
    network = read(backbone, layers, state, options)
    return replace(
        network,
        normalisation=normalisation_of(layers, network.classes if is_fcn else 0),
        class_names=class_names(network.classes),
    )


def check_input(layers: Sequence[Layer]) -> None:
    """Raise CheckpointError for a network that reads depth, which photos do not have."""
    names = {layer.name for layer in layers if layer.blobs}
    if others := {"conv1_1color", "conv1_1hha", "conv1_1_bgrd"} & names:
        raise CheckpointError(
            f"this network reads depth beside colours ({', '.join(sorted(others))}); convert "
            "nyud-fcn32s-color, which reads colours alone"
        )
    if any("'hha'" in layer.settings and "'color'" not in layer.settings for layer in layers):
        raise CheckpointError(
            "this network reads depth (HHA), which photos do not have; convert nyud-fcn32s-color"
        )


def tensors(layers: Sequence[Layer]) -> Tensors:
    """Name all blobs as torch does; raises CheckpointError where a layer has too many."""
    state: Tensors = {}
    for layer in layers:
        if len(layer.blobs) > len(PARTS) or (layer.blobs and f"{layer.name}.weight" in state):
            raise CheckpointError(
                f"layer {layer.name} is there twice, or has {len(layer.blobs)} blobs; layers of "
                "the known networks have weights and a bias"
            )
        for part, blob in zip(PARTS, layer.blobs, strict=False):
            state[f"{layer.name}.{part}"] = in_torch_shape(layer.name, part, blob)
    return state


def in_torch_shape(layer: str, part: str, blob: Tensor) -> Tensor:
    """Leave out the dimensions of one that old files add; give kernels the form of most files."""
    if part == "bias":
        return blob.flatten()
    if blob.dim() != KERNEL_DIMENSIONS:
        return blob
    if layer in CONNECTED and blob.shape[:2] == (1, 1):
        return blob[0, 0]
    per_class = layer.startswith(UPSCORE) and blob.shape[1] == 1
    return in_form(blob, "dense") if per_class else blob


def of_head(state: Tensors, head: Head) -> Tensors:
    """Keep one of a network's two heads, under the names that others have; raises CheckpointError
    where a head is chosen and there are none.
    """
    own = HEADS[head]
    others = tuple(suffix for suffix in HEADS.values() if suffix != own)
    layers = {name: name.partition(".") for name in state}
    if not any(layer.endswith((own, *others)) for layer, _, _ in layers.values()):
        if head != DEFAULT.head:
            raise CheckpointError("this network has one head; leave the head out")
        return state
    return {
        f"{layer.removesuffix(own)}.{part}": state[name]
        for name, (layer, _, part) in layers.items()
        if not layer.endswith(others)
    }


def check_options(
    options: ConvertOptions, state: Tensors, backbone: BackboneName, *, is_fcn: bool
) -> None:
    """Raise CheckpointError for an option that would have no effect."""
    if is_fcn and options.stride != DEFAULT.stride:
        raise CheckpointError("this is an FCN already, with a stride of its own; leave it out")
    if options.lite != DEFAULT.lite:
        raise CheckpointError("skips are chosen for EfficientNet-Lite classifiers; leave them out")
    if options.same_padding and (is_fcn or backbone != "vgg16"):
        raise CheckpointError("only a VGG16 classifier can go without padding by 100")
    if options.at_once and "score_pool4.weight" not in state:
        raise CheckpointError("only a published FCN-16s or FCN-8s can have been trained at once")


def read_fcn(
    backbone: BackboneName, layers: Sequence[Layer], state: Tensors, options: ConvertOptions
) -> SourceNetwork:
    check_padding(backbone, layers)
    if backbone == "alexnet":
        return in_rgb_order(read_alexnet_fcn(state, norm_order(layers), "caffe's"))
    folded = fold_scales(state)
    if len(folded) < len(state):  # their layers have the scales that the option would assume
        options = replace(options, at_once=False)
    return read_published_fcn(folded, options, "caffe's")


def check_padding(backbone: BackboneName, layers: Sequence[Layer]) -> None:
    """Raise CheckpointError for an FCN of another geometry than the published ones."""
    for layer in layers:
        if layer.name == STEMS[backbone] and layer.pad not in (None, PAPER_PADDING):
            raise CheckpointError(
                f"{layer.name} pads photos by {layer.pad}; the published FCNs pad by "
                f"{PAPER_PADDING}, and others cannot be converted"
            )


def fold_scales(state: Tensors) -> Tensors:
    """Multiply the scales of pooled features into the score layers that read them; raises
    CheckpointError.
    """
    scales = tuple(f"{scale}." for scale in SCALES.values())
    folded = {name: tensor for name, tensor in state.items() if not name.startswith(scales)}
    for score, scale in SCALES.items():
        factor, weight = state.get(f"{scale}.weight"), folded.get(f"{score}.weight")
        if factor is None or weight is None or weight.dim() != KERNEL_DIMENSIONS:
            continue
        if factor.numel() not in (1, weight.shape[1]):
            raise CheckpointError(f"{scale} has {factor.numel()} numbers for {score}'s features")
        folded[f"{score}.weight"] = weight * factor.reshape(1, -1, 1, 1)
    return folded


def read_caffe_classifier(
    backbone: BackboneName, layers: Sequence[Layer], state: Tensors, options: ConvertOptions
) -> SourceNetwork:
    """Make an FCN of VGG16 or AlexNet, whose layers have our names; raises CheckpointError."""
    names = torchvision_names() if backbone == "vgg16" else parameter_names(TORCHVISION_LAYERS)
    names = {name: name for name in names}
    state = {name: flat(name, tensor) for name, tensor in without(state, "fc8.").items()}
    found: BackboneOptions = (
        vgg_options(state, names, options)
        if backbone == "vgg16"
        else alexnet_options(state, names, norm_order(layers))
    )
    architecture = f"fcn{options.stride}s-{backbone}"
    description = f"caffe's {'VGG16' if backbone == 'vgg16' else 'AlexNet'}"
    network = SourceNetwork(description, architecture, options.classes, found)
    return in_rgb_order(read_classifier(state, network, names))


def in_rgb_order(network: SourceNetwork) -> SourceNetwork:
    """Have the first layer read RGB; caffe's networks read BGR."""
    stem = f"{STEMS[ARCHITECTURE_PARTS[network.architecture][1]]}.weight"
    return replace(network, weights=network.weights | {stem: network.weights[stem].flip(1)})


def flat(name: str, tensor: Tensor) -> Tensor:
    """Flatten a fully connected layer that was saved as a convolution."""
    return tensor.flatten(1) if name in FLAT and tensor.dim() > 1 else tensor


def norm_order(layers: Sequence[Layer]) -> ResponseNorm | None:
    """Find where AlexNet normalises responses by the order of its layers; None where the file has
    only layers with weights.
    """
    names = [layer.name for layer in layers]
    if "pool1" not in names:
        return None
    if "norm1" not in names:
        return "none"
    return "before_pool" if names.index("norm1") < names.index("pool1") else "after_pool"
