"""A checkpoint's transposed convolutions in, the same ones in their simplest form out.

Most published kernels were never trained: they mix no classes and are bilinear. A network need not
hold those, and computes them faster. Called by the readers of `model_store.tools.convert`.
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

# float16 files round kernels by as much
SAME_KERNEL = 1e-6


def stored_form(weights: Mapping[str, Tensor], layers: Iterable[str]) -> Kernels:
    """Give the form in which a checkpoint stores the kernels of these layers."""
    kernels = [weights[f"{layer}.weight"] for layer in layers if f"{layer}.weight" in weights]
    if not kernels:
        return "bilinear"
    return "dense" if kernels[0].dim() > 1 and kernels[0].shape[1] > 1 else "per_class"


def simplify(weights: Mapping[str, Tensor]) -> tuple[Upsampling, dict[str, Tensor]]:
    """Find the simplest form of all kernels, and give the weights with them in that form."""
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
    return max(map(simplest_form, layers), key=GENERALITY.index, default="bilinear")


def simplest_form(weight: Tensor) -> Kernels:
    """Find the simplest form of (classes, classes or 1, k, k) kernels."""
    classes = len(weight)
    per_class = in_form(weight, "per_class")
    if weight.shape[1] == classes and not torch.equal(in_form(per_class, "dense"), weight):
        return "dense"
    bilinear = bilinear_kernels(classes, weight.shape[2], "per_class")
    same = bilinear.shape == per_class.shape and torch.allclose(
        bilinear, per_class, rtol=0, atol=SAME_KERNEL
    )
    return "bilinear" if same else "per_class"


def in_form(weight: Tensor, kernels: Kernels) -> Tensor:
    """Give kernels their `dense` (classes, classes, k, k) or else (classes, 1, k, k) form."""
    classes, columns = weight.shape[:2]
    diagonal = range(classes)
    per_class = weight[diagonal, diagonal][:, None] if columns == classes else weight
    if kernels != "dense":
        return per_class
    if columns == classes:
        return weight
    dense = weight.new_zeros(classes, classes, *weight.shape[2:])
    dense[diagonal, diagonal] = per_class[:, 0]
    return dense
