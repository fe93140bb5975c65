"""How to train: one frozen value, made by the command line, kept in each checkpoint."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, ValidationError

from handlers.model_config import Strict

StagesName = Literal["at_once", "paper"]
BatchNormName = Literal["frozen", "trained"]
PrecisionName = Literal["auto", "fp32", "bf16"]


# how often each photo is learned from where nobody says so, and the steps between which that stays
PASSES = 40
FEWEST_STEPS, MOST_STEPS = 300, 4000


class OptionsError(ValueError):
    """What is asked for cannot be done, or not here."""


class Options(Strict):
    """Defaults are for fine-tuning a small backbone on a few thousand photos."""

    steps: int = Field(default=4000, ge=1)
    batch: int = Field(default=8, ge=1)
    # side of the square that is cut out of a photo, in pixels
    crop: int = Field(default=320, ge=32, multiple_of=32)
    # of the score layers; the backbone, which has learned already, gets this part of it
    rate: float = Field(default=3e-4, gt=0)
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
    # layers up to stride 4 learn no more: their maps are the largest, and edges are edges
    freeze_early: bool = False
    # how much of the moving average of weights stays at each step; it is what is scored and kept
    average: float = Field(default=0.998, ge=0, lt=1)
    # of the maps; auto: bf16 on a GPU, and on a processor that computes in it
    precision: PrecisionName = "auto"
    device: str = "cpu"
    # 0: one a processor
    threads: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)
    # train although no mask has some class, which is then unlearned
    allow_absent: bool = False
    # steps from one look at the validation photos to the next
    validate_every: int = Field(default=500, ge=1)


def options_of(choices: Mapping[str, object], photos: int) -> Options:
    """Check what the command line says; raises OptionsError, which names each that is wrong."""
    try:
        options = Options.model_validate({**choices, "steps": choices["steps"] or MOST_STEPS})
    except ValidationError as error:
        findings = "; ".join(
            f"--{str(finding['loc'][0]).replace('_', '-')} {finding['input']}: {finding['msg']}"
            for finding in error.errors(include_url=False)
        )
        raise OptionsError(findings) from error
    check_device(options.device)
    if choices["steps"]:
        return options
    usual = min(max(PASSES * photos // options.batch, FEWEST_STEPS), MOST_STEPS)
    return options.model_copy(update={"steps": usual})


def check_device(name: str) -> None:
    try:
        kind = torch.device(name).type
    except RuntimeError as error:
        raise OptionsError(f"--device {name} is no device; say cpu, cuda or cuda:1") from error
    if kind not in {"cpu", "cuda"} or (kind == "cuda" and not torch.cuda.is_available()):
        raise OptionsError(
            f"--device {name}: torch sees no such device here; say cpu, or install a build of "
            "torch that has it"
        )
