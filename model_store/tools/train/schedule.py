"""A step in, the factor of the learning rates and the network to train out.

The rates warm up, then fall as a polynomial. Sources: Chen et al., "DeepLab" (TPAMI 2018), section
4.3, for the polynomial; Long, Shelhamer and Darrell (CVPR 2015), section 4.2, for training 32s,
then 16s, then 8s. Called by `model_store.tools.train.run` and `trainer`.
"""

from dataclasses import dataclass

from handlers.net.options import ARCHITECTURE_PARTS, STRIDES, Stride
from model_store.tools.train.options import TrainOptions

POWER = 0.9


def rate_factor(step: int, options: TrainOptions) -> float:
    """Give the factor of the learning rates at a step: up to 1, then down towards 0."""
    warm = min(1.0, (step + 1) / (options.warm_up + 1))
    return float(warm * (1 - step / options.steps) ** POWER)


@dataclass(frozen=True, slots=True)
class TrainingStage:
    """Steps `first` up to `end` train the network that scores at `stride`."""

    stride: Stride
    first: int
    end: int


def stages(architecture: str, options: TrainOptions) -> list[TrainingStage]:
    """Divide the steps evenly among the strides down to the architecture's own."""
    last, _ = ARCHITECTURE_PARTS[architecture]
    strides = [stride for stride in STRIDES if stride >= last]
    if options.stages == "at_once":
        strides = [last]
    ends = [options.steps * number // len(strides) for number in range(len(strides) + 1)]
    return [
        TrainingStage(stride, first, end)
        for stride, first, end in zip(strides, ends, ends[1:], strict=False)
    ]
