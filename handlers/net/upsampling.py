"""Upsampling layers: transposed convolutions that begin as bilinear interpolation.

Source: Long, Shelhamer and Darrell (CVPR 2015), section 3.3: fixed, or learned from there on.
"""

import torch
from torch import Tensor, nn

from handlers.net.exact.geometry import Placement, Transposed
from handlers.net.options import Kernels


def upsampler(
    classes: int, factor: int, padding: int, kernels: Kernels = "bilinear"
) -> nn.ConvTranspose2d:
    """Make a layer that brings each class up by `factor`, bilinear at first.

    Only `dense` kernels can learn to mix classes; `bilinear` ones are fixed. Outside the map are
    zeros, not the clamped edge of an image resize.
    """
    groups = 1 if kernels == "dense" else classes
    up = nn.ConvTranspose2d(
        classes, classes, 2 * factor, factor, padding, groups=groups, bias=False
    )
    up.weight = nn.Parameter(
        bilinear_kernels(classes, factor, kernels), requires_grad=kernels != "bilinear"
    )
    return up


def bilinear_kernels(classes: int, factor: int, kernels: Kernels) -> Tensor:
    """Compute them: (classes, classes, 2f, 2f) where `dense`, else (classes, 1, 2f, 2f).

    The value at offset t is `1 - |t + 0.5 - f| / f` in each direction.
    """
    offsets = torch.arange(2 * factor, dtype=torch.float32)
    ramp = 1 - (offsets + 0.5 - factor).abs() / factor
    each = torch.outer(ramp, ramp).repeat(classes, 1, 1, 1)
    if kernels != "dense":
        return each
    dense = torch.zeros(classes, classes, *each.shape[2:])
    dense[range(classes), range(classes)] = each[:, 0]
    return dense


def upsampled(placement: Placement, factor: int, padding: int) -> Placement:
    """Return where a map lies after an `upsampler`."""
    return Transposed(kernel=2 * factor, stride=factor, padding=padding).placement(placement)
