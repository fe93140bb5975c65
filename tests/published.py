"""State dicts as others publish them, with random weights: names and shapes are theirs.

The PyTorch port's FCNs (wkentaro/pytorch-fcn, `torchfcn/models`) and torchvision's VGG16
(`torchvision.models.vgg16`). Tests shrink the channels; the tables have the published numbers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from tests.paper import bilinear

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

Narrow = Mapping[int, int]
# what is 64, 128, ... channels as published, in tests
NARROW: Narrow = {64: 6, 128: 8, 256: 10, 512: 12, 4096: 16}
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
    places = zip(TORCHVISION_FEATURES, VGG_CONVOLUTIONS.values(), strict=True)
    for place, (channels_out, channels_in, kernel) in places:
        out = narrow.get(channels_out, channels_out)
        shapes[f"features.{place}.weight"] = (
            out,
            narrow.get(channels_in, channels_in),
            kernel,
            kernel,
        )
        shapes[f"features.{place}.bias"] = (out,)
    for name, (out, inputs) in TORCHVISION_CLASSIFIER.items():
        window = 49 if name == "classifier.0" else 1
        channels = narrow.get(inputs // window, inputs // window)
        shapes[f"{name}.weight"] = (narrow.get(out, out), channels * window)
        shapes[f"{name}.bias"] = (narrow.get(out, out),)
    return shapes


def filled(shapes: Mapping[str, Shape], seed: int = 0) -> dict[str, Tensor]:
    """Draw weights that keep maps at their size; what all features share speaks for no class."""
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
    """Make a narrow FCN of the port; kernels mix classes unless they are said to be simpler."""
    state = filled(port_shapes(stride, NARROW), seed)
    random = torch.Generator().manual_seed(seed + 1)
    for name, kernel in PORT_KERNELS[stride].items():
        drawn = torch.zeros(CLASSES, CLASSES, kernel, kernel)
        drawn[range(CLASSES), range(CLASSES)] = bilinear(CLASSES, kernel // 2)[:, 0]
        learned = 0.05 * torch.randn(drawn.shape, generator=random)
        if kernels == "per_class":
            learned *= torch.eye(CLASSES)[:, :, None, None]
        state[f"{name}.weight"] = drawn if kernels == "bilinear" else drawn + learned
    return state
