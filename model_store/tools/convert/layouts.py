"""A checkpoint in, its network with our names out: a reader for each known layout of names.

Called by `model_store.tools.convert.convert`, `create` and `weights`.
"""

from collections.abc import Callable
from pathlib import Path

from model_store.tools.convert.alexnet import read_own_alexnet, read_torchvision_alexnet
from model_store.tools.convert.architecture import COUNTERS, DEFAULT, ConvertOptions, SourceNetwork
from model_store.tools.convert.caffe.read import CAFFE_SUFFIX, read_caffemodel
from model_store.tools.convert.efficientnet_lite import read_lite_classifier
from model_store.tools.convert.kernels import BETWEEN, LAST, stored_form
from model_store.tools.convert.own import read_own_lite, read_own_vgg
from model_store.tools.convert.published_fcn import read_published_fcn
from model_store.tools.convert.state_dict import CheckpointError, Tensors, read_checkpoint
from model_store.tools.convert.torchvision_vgg import read_torchvision

Reader = Callable[[Tensors, ConvertOptions], SourceNetwork]


def read_network(file: Path, options: ConvertOptions = DEFAULT) -> SourceNetwork:
    """Read a checkpoint of any kind but with a `model.yaml`; raises CheckpointError."""
    if CAFFE_SUFFIX in file.suffixes:
        return read_caffemodel(file, options)
    return detect(read_checkpoint(file), options)


def detect(state: Tensors, options: ConvertOptions = DEFAULT) -> SourceNetwork:
    """Detect the layout by its names, and translate; raises CheckpointError."""
    state = {name: tensor for name, tensor in state.items() if not name.endswith(COUNTERS)}
    check_fcn_options(state, options)
    for prefixes, reader in READERS:
        if any(name.startswith(prefixes) for name in state):
            check_classifier_options(options, reader)
            return reader(state, options)
    raise CheckpointError(
        f"no known network has names such as {', '.join(sorted(state)[:4])} ...; "
        "known are torchvision's VGG16 and AlexNet (features.0.weight), the FCNs of the PyTorch "
        "port (conv1_1.weight), EfficientNet-Lite (_conv_stem.weight), caffe's networks in a "
        ".caffemodel, and our own (stem.weight)"
    )


def check_fcn_options(state: Tensors, options: ConvertOptions) -> None:
    """Raise CheckpointError for options that contradict a published FCN, or its absence."""
    published = has_dense_kernels(state)
    if options.at_once and not (published and "score_pool4.weight" in state):
        raise CheckpointError("only a published FCN-16s or FCN-8s can have been trained at once")
    if options.same_padding and published:
        raise CheckpointError("a published FCN pads photos by 100; leave same padding out")
    if options.head != DEFAULT.head:
        raise CheckpointError("only caffe's networks for SIFT Flow have two heads; leave it out")


def check_classifier_options(options: ConvertOptions, reader: Reader) -> None:
    """Raise CheckpointError for an option that would have no effect."""
    if options.stride != DEFAULT.stride and reader not in CLASSIFIERS:
        raise CheckpointError("this is an FCN already, with a stride of its own; leave it out")
    if options.same_padding and reader in (read_torchvision_alexnet, read_own_alexnet):
        raise CheckpointError("AlexNet pads photos by 100 here; leave same padding out")
    if options.lite != DEFAULT.lite and reader != read_lite_classifier:
        raise CheckpointError("skips are chosen for EfficientNet-Lite classifiers; leave them out")


def read_vgg_fcn(state: Tensors, options: ConvertOptions) -> SourceNetwork:
    """Read an FCN on VGG16. Dense kernels mark the PyTorch port's; a checkpoint of ours with dense
    kernels is read as the port's, unless its `model.yaml` is beside it.
    """
    read = read_published_fcn if has_dense_kernels(state) else read_own_vgg
    return read(state, options)


def has_dense_kernels(state: Tensors) -> bool:
    return stored_form(state, (*BETWEEN, *LAST)) == "dense"


CLASSIFIERS: tuple[Reader, ...] = (
    read_torchvision,
    read_torchvision_alexnet,
    read_lite_classifier,
)
# prefixes of the names that each reader reads, in the order in which they are tried
READERS: tuple[tuple[tuple[str, ...], Reader], ...] = (
    (("features.3.", "features.6.", "features.8.", "classifier.1."), read_torchvision_alexnet),
    (("features.", "classifier."), read_torchvision),
    (("conv1.", "conv2.", "conv3.", "conv4.", "conv5."), read_own_alexnet),
    (("conv1_", "conv2_", "conv3_", "conv4_", "conv5_", "fc6.", "fc7."), read_vgg_fcn),
    (("_conv_stem.", "_blocks."), read_lite_classifier),
    (("stem.", "blocks."), read_own_lite),
)
