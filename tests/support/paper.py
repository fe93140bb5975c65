"""The paper's networks with its published numbers: the reference of networks and conversions.

Weights by the published names and a photo in, scores of every pixel out; each step is spelt out.
Source: the paper's published `net.py` of `voc-fcn8s`, `voc-fcn16s`, `voc-fcn32s` and
`voc-fcn-alexnet`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import (
    conv2d,
    conv_transpose2d,
    local_response_norm,
    max_pool2d,
    relu,
)

STAGE_LAYERS = (2, 2, 3, 3, 3)


def papers_scores(
    state: Mapping[str, Tensor], photo: Tensor, stride: int, *, at_once: bool = False
) -> Tensor:
    """Score each pixel of a photo (1, 3, H, W); kernels that are not in `state` are bilinear."""

    def convolve(x: Tensor, name: str, padding: int = 0) -> Tensor:
        return conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)

    def up(x: Tensor, name: str, factor: int) -> Tensor:
        return upscore(x, factor, state.get(f"{name}.weight"))

    scale4, scale3 = (0.01, 0.0001) if at_once else (1, 1)
    x, pools = photo, []
    for stage, layers in enumerate(STAGE_LAYERS, 1):
        for layer in range(1, layers + 1):
            x = relu(convolve(x, f"conv{stage}_{layer}", 100 if stage == layer == 1 else 1))
        x = max_pool2d(x, 2, 2, ceil_mode=True)
        pools.append(x)
    scores = convolve(relu(convolve(relu(convolve(x, "fc6")), "fc7")), "score_fr")
    if stride == 32:
        return crop(up(scores, "upscore", 32), 19, photo)
    scores = up(scores, "upscore2", 2)
    scores = scores + crop(convolve(pools[3] * scale4, "score_pool4"), 5, scores)
    if stride == 16:
        return crop(up(scores, "upscore16", 16), 27, photo)
    scores = up(scores, "upscore_pool4", 2)
    scores = scores + crop(convolve(pools[2] * scale3, "score_pool3"), 9, scores)
    return crop(up(scores, "upscore8", 8), 31, photo)


def alexnet_scores(state: Mapping[str, Tensor], photo: Tensor, norm: str = "after_pool") -> Tensor:
    """Score each pixel of a photo (1, 3, H, W) as FCN-AlexNet does.

    `norm` is where responses are normalised: `after_pool`, `before_pool` or `none`.
    """

    def convolve(x: Tensor, name: str, padding: int = 0, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        groups = x.shape[1] // weight.shape[1]
        return conv2d(x, weight, state[f"{name}.bias"], stride, padding, groups=groups)

    def respond(x: Tensor) -> Tensor:
        x = local_response_norm(x, 5, 1e-4, 0.75, 1.0) if norm == "before_pool" else x
        x = max_pool2d(x, 3, 2, ceil_mode=True)
        return local_response_norm(x, 5, 1e-4, 0.75, 1.0) if norm == "after_pool" else x

    x = respond(relu(convolve(photo, "conv1", 100, 4)))
    x = respond(relu(convolve(x, "conv2", 2)))
    for name in ("conv3", "conv4", "conv5"):
        x = relu(convolve(x, name, 1))
    x = max_pool2d(x, 3, 2, ceil_mode=True)
    scores = convolve(relu(convolve(relu(convolve(x, "fc6")), "fc7")), "score_fr")
    kernel = state.get("upscore.weight", bilinear(scores.shape[1], 32, 63))
    return crop(upscore(scores, 32, kernel), 18, photo)


def upscore(scores: Tensor, factor: int, kernel: Tensor | None = None) -> Tensor:
    """Bring scores up; a kernel of (C, 1, k, k) is per class, none is bilinear."""
    classes = scores.shape[1]
    kernel = bilinear(classes, factor) if kernel is None else kernel
    groups = classes if kernel.shape[1] == 1 else 1
    return conv_transpose2d(scores, kernel, stride=factor, groups=groups)


def bilinear(classes: int, factor: int, size: int = 0) -> Tensor:
    """The paper's kernel as its published `surgery.py` draws it: (classes, 1, size, size); of 2f
    rows unless another size is given.
    """
    size = size or 2 * factor
    centre = factor - 1 if size % 2 else factor - 0.5
    ramp = torch.tensor([1 - abs(row - centre) / factor for row in range(size)])
    return (ramp[:, None] * ramp[None, :]).repeat(classes, 1, 1, 1)


def crop(scores: Tensor, offset: int, like: Tensor) -> Tensor:
    height, width = like.shape[2:]
    return scores[:, :, offset : offset + height, offset : offset + width]
