"""A network that a checkpoint was recognised as, and whether its tensors fit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from handlers.model_config import Normalisation
from handlers.net import ARCHITECTURES
from handlers.net.options import BILINEAR, LiteOptions, Stride, Upsampling, VggOptions
from handlers.runtime.network import BACKBONE
from model_store.tools.convert.state_dict import CheckpointError, Tensors

Shape = tuple[int, ...]
Candidate = TypeVar("Candidate")

# batch-norm counts its batches for training alone
COUNTERS = "num_batches_tracked"
USUAL = Normalisation()
# layers that a classifier lacks
SCORE = "score_"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a checkpoint does not say by itself."""

    classes: int = 21  # of a network that has yet to learn them
    stride: Stride = 32  # of the scores that it is to learn
    lite: LiteOptions = field(default_factory=LiteOptions)
    same_padding: bool = False  # of VGG16, instead of the paper's 100
    at_once: bool = False


DEFAULT = Wish()


@dataclass(frozen=True, slots=True)
class Recognised:
    """A network as `model.yaml` describes it, with its weights by our names."""

    what: str
    architecture: str
    classes: int
    vgg16: VggOptions | None = None
    upsampling: Upsampling = BILINEAR
    normalisation: Normalisation = USUAL
    lite: LiteOptions | None = None
    weights: Tensors = field(default_factory=dict)

    def shapes(self) -> dict[str, Shape]:
        """Tell what shape each weight has that a file must hold, by our names."""
        with torch.device("meta"):
            architecture = ARCHITECTURES[self.architecture]
            net = architecture(self.classes, self.vgg16, self.upsampling, self.lite)
        fixed = {name for name, weight in net.named_parameters() if not weight.requires_grad}
        return {
            name.removeprefix(BACKBONE): tuple(weight.shape)
            for name, weight in net.state_dict().items()
            if name not in fixed and not name.endswith(COUNTERS)
        }


def unlearned(start: Recognised) -> Tensors:
    """Score layers begin as zeros, as the paper's do (section 4.3)."""
    shapes = start.shapes()
    return {name: torch.zeros(shapes[name]) for name in shapes if name.startswith(SCORE)}


def without(state: Tensors, prefix: str) -> Tensors:
    """Leave out the classifier's last layer: its classes are ImageNet's."""
    return {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}


def closest(
    state: Tensors, candidates: Iterable[tuple[Candidate, Mapping[str, Shape]]]
) -> Candidate:
    """Pick the first of those that have the most names and shapes in common with a file."""
    held = {(name, tuple(tensor.shape)) for name, tensor in state.items()}
    return max(candidates, key=lambda candidate: len(held & candidate[1].items()))[0]


def compare(what: str, state: Tensors, wanted: Mapping[str, Shape]) -> None:
    """Check names and shapes; raises CheckpointError that lists all that does not match."""
    findings = [f"missing {name} {shape}" for name, shape in wanted.items() if name not in state]
    for name, tensor in state.items():
        shape = tuple(tensor.shape)
        if name not in wanted:
            findings.append(f"unexpected {name} {shape}")
        elif shape != wanted[name]:
            findings.append(f"{name} has shape {shape}, not {wanted[name]}")
    if findings:
        raise CheckpointError("\n  ".join((f"this looks like {what}, but:", *findings)))
