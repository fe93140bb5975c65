"""Upsampling layers: transposed convolutions that begin as bilinear interpolation.

Source: Long, Shelhamer and Darrell (CVPR 2015), section 3.3: fixed, or learned from there on.
"""

import torch
from torch import Tensor, nn

from handlers.net.exact.geometry import Placement, Transposed
from handlers.net.options import Kernels


def upsampler(
    classes: int, factor: int, padding: int, kernels: Kernels = "bilinear", *, odd: bool = False
) -> nn.ConvTranspose2d:
    """Make a layer that brings each class up by `factor`, bilinear at first.

    Only `dense` kernels can learn to mix classes; `bilinear` ones are fixed. Outside the map are
    zeros, not the clamped edge of an image resize. `odd` kernels have a point in their middle.
    """
    size = kernel_size(factor, odd=odd)
    groups = 1 if kernels == "dense" else classes
    up = nn.ConvTranspose2d(classes, classes, size, factor, padding, groups=groups, bias=False)
    up.weight = nn.Parameter(
        bilinear_kernels(classes, size, kernels), requires_grad=kernels != "bilinear"
    )
    return up


def kernel_size(factor: int, *, odd: bool = False) -> int:
    """Give the side of a bilinear kernel: 2f, or 2f - 1 where points lie on pixels' centres, as
    those of the paper's FCN-AlexNet do.
    """
    return 2 * factor - odd


def bilinear_kernels(classes: int, size: int, kernels: Kernels) -> Tensor:
    """Compute them: (classes, classes, size, size) where `dense`, else (classes, 1, size, size).

    The value at a distance d from the middle is `1 - |d| / f` in each direction.
    """
    factor = (size + 1) // 2
    distances = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    ramp = 1 - distances.abs() / factor
    each = torch.outer(ramp, ramp).repeat(classes, 1, 1, 1)
    if kernels != "dense":
        return each
    dense = torch.zeros(classes, classes, *each.shape[2:])
    dense[range(classes), range(classes)] = each[:, 0]
    return dense


def upsampled(placement: Placement, factor: int, padding: int, *, odd: bool = False) -> Placement:
    """Return where a map lies after an `upsampler`."""
    return Transposed(
        kernel=kernel_size(factor, odd=odd), stride=factor, padding=padding
    ).placement(placement)
