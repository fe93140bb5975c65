"""The paper's networks with its published numbers: the reference of networks and conversions.

Weights by the published names and a photo in, scores of every pixel out; each step is spelt out.
Source: the paper's published `voc-fcn8s/net.py`, `voc-fcn16s/net.py` and `voc-fcn32s/net.py`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, max_pool2d, relu

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


def upscore(scores: Tensor, factor: int, kernel: Tensor | None = None) -> Tensor:
    """Bring scores up; a kernel of (C, 1, k, k) is per class, none is bilinear."""
    classes = scores.shape[1]
    kernel = bilinear(classes, factor) if kernel is None else kernel
    groups = classes if kernel.shape[1] == 1 else 1
    return conv_transpose2d(scores, kernel, stride=factor, groups=groups)


def bilinear(classes: int, factor: int) -> Tensor:
    """The paper's kernel as its published `surgery.py` draws it: (classes, 1, 2f, 2f)."""
    centre = factor - 0.5
    ramp = torch.tensor([1 - abs(row - centre) / factor for row in range(2 * factor)])
    return (ramp[:, None] * ramp[None, :]).repeat(classes, 1, 1, 1)


def crop(scores: Tensor, offset: int, like: Tensor) -> Tensor:
    height, width = like.shape[2:]
    return scores[:, :, offset : offset + height, offset : offset + width]
