"""The network that a checkpoint holds, and whether its tensors match that network.

Called by the readers of `model_store.tools.convert`, one for each layout of names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch

from handlers.model_config import Normalisation
from handlers.net import ARCHITECTURES
from handlers.net.options import BILINEAR, BackboneOptions, LiteOptions, Stride, Upsampling
from handlers.runtime.weights import BACKBONE
from model_store.tools.convert.state_dict import CheckpointError, Tensors

Shape = tuple[int, ...]
Head = Literal["semantic", "geometric"]
Candidate = TypeVar("Candidate")

# batch-norm counts its batches for training alone
COUNTERS = "num_batches_tracked"
DEFAULT_NORMALISATION = Normalisation()
# layers that a classifier lacks
SCORE = "score_"


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """What a checkpoint's tensors do not show."""

    classes: int = 21  # of a classifier that becomes an FCN
    stride: Stride = 32  # of that FCN's scores
    lite: LiteOptions = field(default_factory=LiteOptions)
    same_padding: bool = False  # of VGG16, instead of the paper's 100
    at_once: bool = False
    head: Head = "semantic"  # of caffe's networks for SIFT Flow, which have two


DEFAULT = ConvertOptions()


@dataclass(frozen=True, slots=True)
class SourceNetwork:
    """A checkpoint's network as `model.yaml` describes it, with its weights by our names."""

    description: str
    architecture: str
    classes: int
    options: BackboneOptions | None = None
    upsampling: Upsampling = BILINEAR
    normalisation: Normalisation = DEFAULT_NORMALISATION
    weights: Tensors = field(default_factory=dict)
    class_names: tuple[str, ...] = ()  # where the source has them

    def shapes(self) -> dict[str, Shape]:
        """Give the shape of each weight that a file must hold, by our names."""
        with torch.device("meta"):
            architecture = ARCHITECTURES[self.architecture]
            net = architecture(self.classes, self.options, self.upsampling)
        fixed = {name for name, weight in net.named_parameters() if not weight.requires_grad}
        return {
            name.removeprefix(BACKBONE): tuple(weight.shape)
            for name, weight in net.state_dict().items()
            if name not in fixed and not name.endswith(COUNTERS)
        }


def zero_scores(network: SourceNetwork) -> Tensors:
    """Give score layers of zeros, with which the paper starts too (section 4.3)."""
    shapes = network.shapes()
    return {name: torch.zeros(shapes[name]) for name in shapes if name.startswith(SCORE)}


def without(state: Tensors, prefix: str) -> Tensors:
    """Leave out the classifier's last layer: its classes are ImageNet's."""
    return {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}


def closest(
    state: Tensors, candidates: Iterable[tuple[Candidate, Mapping[str, Shape]]]
) -> Candidate:
    """Pick the first candidate with the most names and shapes in common with a file."""
    actual = {(name, tuple(tensor.shape)) for name, tensor in state.items()}
    return max(candidates, key=lambda candidate: len(actual & candidate[1].items()))[0]


def check_shapes(description: str, state: Tensors, expected: Mapping[str, Shape]) -> None:
    """Check names and shapes; raises CheckpointError that lists all that does not match."""
    errors = [f"missing {name} {shape}" for name, shape in expected.items() if name not in state]
    for name, tensor in state.items():
        shape = tuple(tensor.shape)
        if name not in expected:
            errors.append(f"unexpected {name} {shape}")
        elif shape != expected[name]:
            errors.append(f"{name} has shape {shape}, not {expected[name]}")
    if errors:
        raise CheckpointError("\n  ".join((f"this looks like {description}, but:", *errors)))
