"""The weights file of a model: `model.yaml` and safetensors in, a filled network out.

Called by `handlers.runtime.network`, and by the tools that train, convert and check models.
"""

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from handlers.model_config import ModelConfig
from handlers.net import ARCHITECTURES
from handlers.net.fcn import FCN

BACKBONE = "backbone."


class WeightsError(ValueError):
    """The weights file does not fit the architecture that `model.yaml` names."""


def load_net(config: ModelConfig, weights: Path) -> FCN:
    """Build the architecture and fill it; raises WeightsError naming what does not match."""
    net = build_net(config)
    fixed = {key for key, weight in net.named_parameters() if not weight.requires_grad}
    net.eval().requires_grad_(requires_grad=False)
    try:
        state = {backbone_key(key): value for key, value in load_file(weights).items()}
        missing, unexpected = net.load_state_dict(state, strict=False)
    except SafetensorError as error:
        raise WeightsError(f"{weights.name} is no safetensors file: {error}") from error
    except RuntimeError as error:
        raise WeightsError(f"{weights.name}: {error}") from error
    missing = [key for key in missing if key not in fixed]
    if missing or unexpected:
        raise WeightsError(
            f"{weights.name} does not fit {config.architecture}: "
            f"missing {checkpoint_keys(missing)}, unexpected {checkpoint_keys(unexpected)}"
        )
    return net


def build_net(config: ModelConfig) -> FCN:
    """Build the architecture with random weights, in training mode."""
    architecture = ARCHITECTURES[config.architecture]
    return architecture(len(config.classes), config.backbone_options, config.upsampling)


def backbone_key(key: str) -> str:
    """Add the backbone's prefix: checkpoints name backbone and score layers side by side."""
    return key if key.startswith(("score_", "upscore")) else f"{BACKBONE}{key}"


def checkpoint_keys(keys: Sequence[str]) -> list[str]:
    return [key.removeprefix(BACKBONE) for key in keys]
