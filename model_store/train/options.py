"""How to train: one frozen value, made by the command line, kept in each checkpoint."""

from typing import Literal

from pydantic import Field

from handlers.model_config import Strict

StagesName = Literal["at_once", "paper"]
BatchNormName = Literal["frozen", "trained"]
PrecisionName = Literal["auto", "fp32", "bf16"]


class Options(Strict):
    """Defaults are for fine-tuning a small backbone on a few thousand photos."""

    steps: int = Field(default=4000, ge=1)
    batch: int = Field(default=8, ge=1)
    # side of the square that is cut out of a photo, in pixels
    crop: int = Field(default=320, ge=32, multiple_of=32)
    # of the score layers; the backbone, which has learned already, gets this part of it
    rate: float = Field(default=1e-3, gt=0)
    backbone_rate: float = Field(default=0.2, ge=0)
    weight_decay: float = Field(default=0.02, ge=0)
    # steps until the rate has risen to its height
    warm_up: int = Field(default=100, ge=0)
    # the paper's three networks one after the other, or the last one at once
    stages: StagesName = "at_once"
    # photos are drawn by the rarest class in them: 0 as they come, 1 all classes alike
    balance: float = Field(default=0.5, ge=0, le=1)
    # how often another photo's objects are pasted into a crop
    paste: float = Field(default=0.3, ge=0, le=1)
    scale_low: float = Field(default=0.5, gt=0, le=1)
    scale_high: float = Field(default=2.0, ge=1)
    # frozen: it keeps the statistics that it has, of which a small batch of crops is no measure
    batch_norm: BatchNormName = "frozen"
    # how much of the moving average of weights stays at each step; it is what is scored and kept
    average: float = Field(default=0.998, ge=0, lt=1)
    # auto: bf16 on a GPU, and fp32 on a CPU, where it is the faster one of the two
    precision: PrecisionName = "auto"
    device: str = "cpu"
    # 0: one a processor
    threads: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)
    # steps from one look at the validation photos to the next
    validate_every: int = Field(default=500, ge=1)
