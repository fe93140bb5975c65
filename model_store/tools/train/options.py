"""The command line's training options in, one frozen value out, stored in each checkpoint.

Called by `fcnserve model train`.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationError

from handlers.model_config import Strict
from model_store.tools.evaluate.device import check_device

StagesName = Literal["at_once", "paper"]
BatchNormName = Literal["frozen", "trained"]
PrecisionName = Literal["auto", "fp32", "bf16"]


# without --steps: epochs, and the bounds of the steps that follow from them
EPOCHS = 40
MIN_STEPS, MAX_STEPS = 300, 4000


class OptionsError(ValueError):
    """Options out of bounds."""


class TrainOptions(Strict):
    """Defaults are for fine-tuning a small backbone on a few thousand photos."""

    steps: int = Field(default=4000, ge=1)
    batch: int = Field(default=8, ge=1)
    # side of the square that is cut out of a photo, in pixels
    crop: int = Field(default=320, ge=32, multiple_of=32)
    # learning rate of the score layers; the backbone, which is pretrained, gets this part of it
    rate: float = Field(default=3e-4, gt=0)
    backbone_rate: float = Field(default=0.2, ge=0)
    weight_decay: float = Field(default=0.02, ge=0)
    # steps of linear warm-up of the learning rate
    warm_up: int = Field(default=100, ge=0)
    # the paper's three networks one after the other, or the last one at once
    stages: StagesName = "at_once"
    # photos are sampled by their rarest class: 0 uniformly, 1 all classes alike
    balance: float = Field(default=0.5, ge=0, le=1)
    # probability of copy-paste augmentation
    paste: float = Field(default=0.3, ge=0, le=1)
    scale_low: float = Field(default=0.5, gt=0, le=1)
    scale_high: float = Field(default=2.0, ge=1)
    # frozen: keep the pretrained statistics; those of a small batch of crops are too noisy
    batch_norm: BatchNormName = "frozen"
    # freeze layers up to stride 4: their maps are the largest, and edges are alike in all photos
    freeze_early: bool = False
    # decay of the EMA weights, which are validated and kept
    average: float = Field(default=0.998, ge=0, lt=1)
    # of the maps; auto: bf16 on a GPU, and on a processor that computes in it
    precision: PrecisionName = "auto"
    device: str = "cpu"
    # 0: one a processor
    threads: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)
    # train although no mask has some class, whose scores then degrade
    allow_absent: bool = False
    # steps from one validation to the next
    validate_every: int = Field(default=500, ge=1)


def options_of(arguments: Mapping[str, object], photos: int) -> TrainOptions:
    """Check the command line's arguments; raises OptionsError, which names each wrong one."""
    steps = arguments["steps"]
    try:
        options = TrainOptions.model_validate({**arguments, "steps": steps or MAX_STEPS})
    except ValidationError as error:
        messages = "; ".join(
            f"--{str(each['loc'][0]).replace('_', '-')} {each['input']}: {each['msg']}"
            for each in error.errors(include_url=False)
        )
        raise OptionsError(messages) from error
    check_device(options.device)
    if steps:
        return options
    default = min(max(EPOCHS * photos // options.batch, MIN_STEPS), MAX_STEPS)
    return options.model_copy(update={"steps": default})
