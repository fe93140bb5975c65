"""A network that a checkpoint was recognised as, and whether its tensors fit."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from handlers.model_config import Normalisation
from handlers.net import ARCHITECTURES
from handlers.net.options import BILINEAR, Upsampling, VggOptions
from handlers.network import BACKBONE
from model_store.checkpoint import CheckpointError, Tensors

Shape = tuple[int, ...]

# batch-norm counts its batches for training alone
COUNTERS = "num_batches_tracked"
USUAL = Normalisation()


@dataclass(frozen=True, slots=True)
class Recognised:
    """A network as `model.yaml` describes it, with its weights by our names."""

    what: str
    architecture: str
    classes: int
    vgg16: VggOptions | None = None
    upsampling: Upsampling = BILINEAR
    normalisation: Normalisation = USUAL
    weights: Tensors = field(default_factory=dict)

    def shapes(self) -> dict[str, Shape]:
        """Tell what shape each weight has that a file must hold, by our names."""
        with torch.device("meta"):
            architecture = ARCHITECTURES[self.architecture]
            net = architecture(self.classes, self.vgg16, self.upsampling)
        fixed = {name for name, weight in net.named_parameters() if not weight.requires_grad}
        return {
            name.removeprefix(BACKBONE): tuple(weight.shape)
            for name, weight in net.state_dict().items()
            if name not in fixed and not name.endswith(COUNTERS)
        }


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
