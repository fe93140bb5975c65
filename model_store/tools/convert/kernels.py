"""Transposed convolutions as checkpoints have them, in the simplest form that says the same.

Most published kernels were never learned: they mix no classes and are bilinear. A network need not
hold those, and computes them faster.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from handlers.net.fcn import LAST_LAYERS, POOL3, POOL4
from handlers.net.options import Kernels, Upsampling
from handlers.net.upsampling import bilinear_kernels

BETWEEN = (POOL4[1], POOL3[1])
LAST = {layer: stride for stride, layer in LAST_LAYERS.items()}
GENERALITY: tuple[Kernels, ...] = ("bilinear", "per_class", "dense")

# kernels of float16 files are off by as much
SAME_KERNEL = 1e-6


def simplify(weights: Mapping[str, Tensor]) -> tuple[Upsampling, dict[str, Tensor]]:
    """Find the kernels that a network needs, and give its weights with them in that form."""
    between, last = (
        most_general(weights[f"{name}.weight"] for name in names if f"{name}.weight" in weights)
        for names in (BETWEEN, LAST)
    )
    forms = dict.fromkeys(BETWEEN, between) | dict.fromkeys(LAST, last)
    simple = dict(weights)
    for name, kernels in forms.items():
        if (weight := simple.pop(f"{name}.weight", None)) is not None and kernels != "bilinear":
            simple[f"{name}.weight"] = in_form(weight, kernels)
    return Upsampling(between=between, last=last), simple


def most_general(layers: Iterable[Tensor]) -> Kernels:
    return max(map(kernels_of, layers), key=GENERALITY.index, default="bilinear")


def kernels_of(weight: Tensor) -> Kernels:
    """Tell the simplest form of (classes, classes or 1, k, k) kernels."""
    classes = len(weight)
    each = in_form(weight, "per_class")
    if weight.shape[1] == classes and not torch.equal(in_form(each, "dense"), weight):
        return "dense"
    drawn = bilinear_kernels(classes, weight.shape[2] // 2, "per_class")
    same = drawn.shape == each.shape and torch.allclose(drawn, each, rtol=0, atol=SAME_KERNEL)
    return "bilinear" if same else "per_class"


def in_form(weight: Tensor, kernels: Kernels) -> Tensor:
    """Give kernels their `dense` (classes, classes, k, k) or else (classes, 1, k, k) form."""
    classes, columns = weight.shape[:2]
    diagonal = range(classes)
    each = weight[diagonal, diagonal][:, None] if columns == classes else weight
    if kernels != "dense":
        return each
    if columns == classes:
        return weight
    dense = weight.new_zeros(classes, classes, *weight.shape[2:])
    dense[diagonal, diagonal] = each[:, 0]
    return dense
