"""Checkpoints as others publish them: their names and shapes in, our weights out.

Who wrote a state dict is told by its names; what does not fit is told in them, too.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from handlers.model_config import Normalisation
from handlers.net.options import LITES, BackboneName, Kernels, LiteOptions, Upsampling, VggOptions
from handlers.net.vgg16 import FC6_KERNEL, STAGE_LAYERS
from model_store.tools.convert.architecture import (
    COUNTERS,
    DEFAULT,
    SCORE,
    Recognised,
    Wish,
    closest,
    compare,
    unlearned,
    without,
)
from model_store.tools.convert.convolutional import as_convolution
from model_store.tools.convert.efficientnet_lite import EXPAND, read_lite_classifier
from model_store.tools.convert.kernels import BETWEEN, LAST, simplify
from model_store.tools.convert.state_dict import CheckpointError, Tensors

# the published FCNs subtract this mean of ImageNet's photos; here in RGB order
CAFFE = Normalisation(mean=(122.67891434, 116.66876762, 104.00698793), std=(1, 1, 1))
# torchvision's networks see values of 0 to 1; in ours, 0 to 255
TORCHVISION = Normalisation(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), std=(0.229 * 255, 0.224 * 255, 0.225 * 255)
)
# the port's FCN8sAtOnce scales pooled features by this before it scores them
AT_ONCE = {"score_pool4.weight": 0.01, "score_pool3.weight": 0.0001}
Read = Callable[[Tensors, Wish], Recognised]


@dataclass(frozen=True, slots=True)
class Own:
    """The backbone of a checkpoint of ours, and what goes beyond its name."""

    backbone: BackboneName
    vgg16: VggOptions | None = None
    lite: LiteOptions | None = None


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
            refuse_idle(wish, read)
            return read(state, wish)
    raise CheckpointError(
        f"it has no names of a network that is known here, but {', '.join(sorted(state)[:4])} ...; "
        "known are torchvision's VGG16 (features.0.weight), the FCNs of the PyTorch port "
        "(conv1_1.weight), EfficientNet-Lite (_conv_stem.weight) and our own (stem.weight)"
    )


def refuse_idle(wish: Wish, read: Read) -> None:
    """Raise CheckpointError for a wish that would change nothing."""
    if wish.stride != DEFAULT.stride and read not in CLASSIFIERS:
        raise CheckpointError("this is an FCN already, with a stride of its own; leave it out")
    if wish.lite != DEFAULT.lite and read != read_lite_classifier:
        raise CheckpointError("skips are chosen for EfficientNet-Lite classifiers; leave them out")


def read_torchvision(state: Tensors, wish: Wish) -> Recognised:
    """Take torchvision's VGG16, a classifier, for the start of an FCN."""
    theirs = torchvision_names()
    padding = vgg_options(state, theirs, wish)
    architecture = f"fcn{wish.stride}s-vgg16"
    start = Recognised("torchvision's VGG16", architecture, wish.classes, padding)
    wanted = {}
    for name, shape in start.shapes().items():
        if not name.startswith(SCORE):
            flat = name in ("fc6.weight", "fc7.weight")
            wanted[theirs[name]] = (shape[0], math.prod(shape[1:])) if flat else shape
    compare(start.what, without(state, "classifier.6."), wanted)
    weights = {name: state[theirs[name]] for name in theirs}
    weights["fc6.weight"] = as_convolution(weights["fc6.weight"], (FC6_KERNEL, FC6_KERNEL))
    weights["fc7.weight"] = as_convolution(weights["fc7.weight"], (1, 1))
    return replace(start, weights=weights | unlearned(start), normalisation=TORCHVISION)


def read_vgg_fcn(state: Tensors, wish: Wish) -> Recognised:
    """Take an FCN on VGG16: with dense kernels it is the port's, unless a `model.yaml` says that it
    is ours.
    """
    published = held(state, (*BETWEEN, *LAST)) == "dense"
    return read_port(state, wish) if published else read_own_vgg(state, wish)


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


def read_own_vgg(state: Tensors, wish: Wish) -> Recognised:
    """Take a checkpoint of ours, on VGG16, that lies beside no `model.yaml`."""
    names = {name: name for name in state}
    return read_own(state, Own("vgg16", vgg16=vgg_options(state, names, wish)))


def read_own_lite(state: Tensors, _wish: Wish) -> Recognised:
    """Take one on EfficientNet-Lite, the member that it fits best."""
    each = [Own(name, lite=options) for name in LITES for options in (None, EXPAND)]
    return read_own(state, closest(state, ((own, own_fcn(state, own).shapes()) for own in each)))


def read_own(state: Tensors, own: Own) -> Recognised:
    found = own_fcn(state, own)
    compare(found.what, state, found.shapes())
    upsampling, weights = simplify(state)
    return replace(found, upsampling=upsampling, weights=weights)


def own_fcn(state: Tensors, own: Own) -> Recognised:
    """Describe an FCN on this backbone, of the stage and kernels that the names tell."""
    architecture = f"fcn{stride_of(state)}s-{own.backbone}"
    return Recognised(
        f"our {architecture}",
        architecture,
        classes_of(state),
        own.vgg16,
        Upsampling(between=held(state, BETWEEN), last=held(state, LAST)),
        lite=own.lite,
    )


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


CLASSIFIERS: tuple[Read, ...] = (read_torchvision, read_lite_classifier)
# whose names begin so, in the order in which they are tried
LAYOUTS: tuple[tuple[tuple[str, ...], Read], ...] = (
    (("features.", "classifier."), read_torchvision),
    (("conv1_", "conv2_", "conv3_", "conv4_", "conv5_", "fc6.", "fc7."), read_vgg_fcn),
    (("_conv_stem.", "_blocks."), read_lite_classifier),
    (("stem.", "blocks."), read_own_lite),
)
