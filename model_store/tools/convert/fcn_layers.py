"""A state dict in; the stride, the classes and the VGG16 channels that its layers show out.

Called by the readers of `model_store.tools.convert`.
"""

from collections.abc import Mapping

from handlers.net.options import VggOptions
from model_store.tools.convert.architecture import DEFAULT, ConvertOptions
from model_store.tools.convert.kernels import LAST
from model_store.tools.convert.state_dict import Tensors


def stride_of(state: Tensors) -> int:
    """Find the stride by the last layer or, where it is fixed, by the finest features scored."""
    for layer, stride in LAST.items():
        if f"{layer}.weight" in state:
            return stride
    return 8 if "score_pool3.weight" in state else 16 if "score_pool4.weight" in state else 32


def class_count(state: Tensors) -> int:
    score = state.get("score_fr.weight")
    return len(score) if score is not None and score.dim() else DEFAULT.classes


def vgg_options(state: Tensors, names: Mapping[str, str], options: ConvertOptions) -> VggOptions:
    """Read the channels from the first layer of each stage; the default where it is missing.

    `names` maps our names to the checkpoint's.
    """
    default = VggOptions()

    def width(layer: str, otherwise: int) -> int:
        weight = state.get(names.get(f"{layer}.weight", ""))
        return otherwise if weight is None or not weight.dim() else len(weight)

    one, two, three, four, five = (
        width(f"conv{stage}_1", channels) for stage, channels in enumerate(default.channels, 1)
    )
    return VggOptions(
        padding="same" if options.same_padding else 100,
        channels=(one, two, three, four, five),
        fc_channels=width("fc6", default.fc_channels),
    )
