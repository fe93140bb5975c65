"""The network as its definition's text has it: the reference of what the worker computes.

A photo comes in; its scores of stride 8, or its labels, go out: fp32, one photo at a time, every
step spelt out with functional torch. Nothing is shared with `handlers`, so that an error there
cannot hide here. Unit and integration tests compare with it.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

BATCH_NORM_EPS = 1e-3
FRAME_STRIDE = 32

# of the blocks of Lite0 and of Lite2, stage by stage; features of strides 8 and 16 end where the
# last two steps down begin
STRIDES = {
    16: (1, *(2, 1), *(2, 1), *(2, 1, 1), *(1, 1, 1), *(2, 1, 1, 1), 1),
    21: (1, *(2, 1, 1), *(2, 1, 1), *(2, 1, 1, 1), *(1, 1, 1, 1), *(2, 1, 1, 1, 1), 1),
}

Weights = dict[str, Tensor]


@torch.inference_mode()
def reference_scores(photo: NDArray[np.uint8], weights: Path) -> Tensor:
    """Score a photo (H, W, 3) RGB: (classes, h, w), h and w an eighth of its frame's sides."""
    w = load(weights)
    x = frame(photo)
    x = relu6(batch_norm(conv(x, w["stem.weight"], 2), w, "bn0"))
    pool3 = pool4 = x
    strides = STRIDES[sum(name.endswith(".dw.weight") for name in w)]
    after_pool3, after_pool4 = [number for number, stride in enumerate(strides) if stride == 2][-2:]
    for number, stride in enumerate(strides):
        name = f"blocks.{number}"
        pool3 = feature(x, w, name, "score_pool3") if number == after_pool3 else pool3
        pool4 = feature(x, w, name, "score_pool4") if number == after_pool4 else pool4
        y = block(x, w, name, stride)
        x = x + y if x.shape == y.shape else y
    x = relu6(batch_norm(conv(x, w["head.weight"]), w, "bn1"))
    coarse = upsample(score(x, w, "score_fr"), 2) + score(pool4, w, "score_pool4")
    return (upsample(coarse, 2) + score(pool3, w, "score_pool3"))[0]


def feature(x: Tensor, w: Weights, block: str, scored_by: str) -> Tensor:
    """What a score layer reads: the map before `block`, or the block's expansion of it (`skips:
    expand`), by the number of its channels.
    """
    wide = w[f"{scored_by}.weight"].shape[1] != x.shape[1]
    return expanded(x, w, block) if wide else x


@torch.inference_mode()
def reference_labels(photo: NDArray[np.uint8], weights: Path) -> NDArray[np.uint8]:
    """Label each pixel of a photo (H, W, 3) RGB: (H, W)."""
    height, width = photo.shape[:2]
    full = upsample(reference_scores(photo, weights)[None], 8)[0, :, :height, :width]
    return full.argmax(0).to(torch.uint8).numpy()


@cache
def load(weights: Path) -> Weights:
    return load_file(weights)


def frame(photo: NDArray[np.uint8]) -> Tensor:
    """Normalise, and fill with zeros at the bottom and right: (1, 3, H, W)."""
    x = (torch.tensor(photo).permute(2, 0, 1)[None].float() - 127) / 128
    height, width = photo.shape[:2]
    return functional.pad(x, (0, -width % FRAME_STRIDE, 0, -height % FRAME_STRIDE))


def block(x: Tensor, w: Weights, name: str, stride: int) -> Tensor:
    if f"{name}.expand.weight" in w:
        x = expanded(x, w, name)
    depthwise = w[f"{name}.dw.weight"]
    x = relu6(batch_norm(conv(x, depthwise, stride, groups=x.shape[1]), w, f"{name}.bn1"))
    return batch_norm(conv(x, w[f"{name}.project.weight"]), w, f"{name}.bn2")


def expanded(x: Tensor, w: Weights, block: str) -> Tensor:
    return relu6(batch_norm(conv(x, w[f"{block}.expand.weight"]), w, f"{block}.bn0"))


def conv(x: Tensor, weight: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    total = max(weight.shape[-1] - stride, 0)
    before, after = total // 2, total - total // 2
    return functional.conv2d(
        functional.pad(x, (before, after, before, after)), weight, None, stride, groups=groups
    )


def batch_norm(x: Tensor, w: Weights, name: str) -> Tensor:
    mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    return functional.batch_norm(
        x, mean, variance, w[f"{name}.weight"], w[f"{name}.bias"], eps=BATCH_NORM_EPS
    )


def relu6(x: Tensor) -> Tensor:
    return x.clamp(0, 6)


def score(x: Tensor, w: Weights, name: str) -> Tensor:
    return functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"])


def upsample(x: Tensor, factor: int) -> Tensor:
    """Apply the transposed convolution per class with the fixed bilinear kernel."""
    ramp = torch.tensor([1 - abs(t + 0.5 - factor) / factor for t in range(2 * factor)])
    kernel = (ramp[:, None] * ramp).repeat(x.shape[1], 1, 1, 1)
    return functional.conv_transpose2d(
        x, kernel, stride=factor, padding=factor // 2, groups=x.shape[1]
    )
