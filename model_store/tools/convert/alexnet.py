"""AlexNet: torchvision's classifier, or an FCN of ours on it, in; the network with our names out.

Called by `model_store.tools.convert.layouts`, and for caffe's names by
`model_store.tools.convert.caffe.read`.
"""

from collections.abc import Mapping

from handlers.net.options import AlexNetOptions, ResponseNorm
from model_store.tools.convert.architecture import ConvertOptions, SourceNetwork, without
from model_store.tools.convert.classifier import read_classifier
from model_store.tools.convert.own import Backbone, read_own
from model_store.tools.convert.state_dict import Tensors
from model_store.tools.convert.torchvision_vgg import TORCHVISION

CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")
# torchvision's layers, in the order of ours
TORCHVISION_LAYERS = {
    **dict(zip(CONVOLUTIONS, (f"features.{number}" for number in (0, 3, 6, 8, 10)), strict=True)),
    "fc6": "classifier.1",
    "fc7": "classifier.4",
}


def parameter_names(layers: Mapping[str, str]) -> dict[str, str]:
    """Map our names of weights to a classifier's, from those of the layers."""
    return {
        f"{ours}.{part}": f"{theirs}.{part}"
        for ours, theirs in layers.items()
        for part in ("weight", "bias")
    }


def read_torchvision_alexnet(state: Tensors, options: ConvertOptions) -> SourceNetwork:
    """Make an FCN of torchvision's AlexNet, which has one group and normalises no responses; raises
    CheckpointError.
    """
    names = parameter_names(TORCHVISION_LAYERS)
    network = SourceNetwork(
        "torchvision's AlexNet",
        f"fcn{options.stride}s-alexnet",
        options.classes,
        alexnet_options(state, names, "none"),
        normalisation=TORCHVISION,
    )
    return read_classifier(without(state, "classifier.6."), network, names)


def read_own_alexnet(state: Tensors, _options: ConvertOptions) -> SourceNetwork:
    """Read an FCN on AlexNet; raises CheckpointError.

    Weights do not show where responses are normalised: with two groups it is where the paper's
    network does, with one nowhere, as in torchvision's.
    """
    return read_alexnet_fcn(state, None)


def read_alexnet_fcn(
    state: Tensors, norm: ResponseNorm | None, origin: str = "our"
) -> SourceNetwork:
    names = {name: name for name in state}
    return read_own(state, Backbone("alexnet", alexnet_options(state, names, norm)), origin)


def alexnet_options(
    state: Tensors, names: Mapping[str, str], norm: ResponseNorm | None
) -> AlexNetOptions:
    """Read channels and groups; the default where a layer is missing. `names` maps our names to the
    checkpoint's.
    """
    default = AlexNetOptions()

    def shape(layer: str, otherwise: tuple[int, int]) -> tuple[int, int]:
        weight = state.get(names.get(f"{layer}.weight", ""))
        if weight is None or weight.dim() <= 1:
            return otherwise
        return max(weight.shape[0], 1), max(weight.shape[1], 1)

    one, two, three, four, five = (
        shape(layer, (channels, 0))[0]
        for layer, channels in zip(CONVOLUTIONS, default.channels, strict=True)
    )
    grouped = shape("conv2", (two, one // 2))[1] < one
    return AlexNetOptions(
        channels=(one, two, three, four, five),
        fc_channels=shape("fc6", (default.fc_channels, 0))[0],
        groups=2 if grouped else 1,
        response_norm=norm or ("after_pool" if grouped else "none"),
    )
