"""A network in; takes one optimiser step a batch, and keeps an average of the weights (EMA).

Called by `model_store.tools.train.run`.
"""

from collections.abc import Iterable

import torch
from torch import nn

from handlers.net.fcn import FCN
from handlers.runtime.device import cpu_computes_bf16
from model_store.tools.dataset.labelled import Labels
from model_store.tools.train.checkpoint import Checkpoint
from model_store.tools.train.data.crops import Values
from model_store.tools.train.depthwise import use_fp32_gradients
from model_store.tools.train.loss import SAMPLED, pixel_loss
from model_store.tools.train.options import TrainOptions
from model_store.tools.train.schedule import rate_factor


class Trainer:
    """A network, its optimiser and its EMA weights, on one device."""

    def __init__(self, net: FCN, options: TrainOptions) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self._bf16 = uses_bf16(self.device, options)
        if self._bf16 and self.device.type == "cpu":
            use_fp32_gradients(net)
        self.net = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # untyped
        self.net.train()
        freeze(self.net, options)
        self.optimiser = torch.optim.AdamW(parameter_groups(self.net, options))
        self.average = {name: value.clone() for name, value in self.net.state_dict().items()}

    def resume(self, checkpoint: Checkpoint) -> None:
        """Load the EMA weights and the optimiser's state of an interrupted run."""
        self.average = {name: value.to(self.device) for name, value in checkpoint.average.items()}
        self.optimiser.load_state_dict(checkpoint.optimiser)

    def step(self, step: int, batch: tuple[Values, Labels]) -> float:
        """Take an optimiser step on a batch; returns its loss."""
        pixels = torch.from_numpy(batch[0]).to(self.device).permute(0, 3, 1, 2)  # channels_last
        labels = torch.from_numpy(batch[1]).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            scores = self.net(pixels)
        loss = pixel_loss(scores, labels, divmod(step % SAMPLED**2, SAMPLED))
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * rate_factor(step, self.options)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # in torch
        self.optimiser.step()
        self._update_average(step)
        return float(loss.detach())

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        """Update the EMA weights; faster at first, since they start as the initial weights."""
        decay = min(self.options.average, (1 + step) / (10 + step))
        for name, value in self.net.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)


def uses_bf16(device: torch.device, options: TrainOptions) -> bool:
    """Return whether maps are in bf16; weights and their averages are always fp32."""
    if options.precision == "auto":
        return device.type == "cuda" or cpu_computes_bf16()
    return options.precision == "bf16"


def freeze(net: FCN, options: TrainOptions) -> None:
    """Freeze what the options exclude from training."""
    if options.batch_norm == "frozen":
        for norm in batch_norms(net):
            norm.eval()
    if options.freeze_early:
        for layer in net.backbone.early_layers():
            layer.requires_grad_(False)


def batch_norms(net: nn.Module) -> Iterable[nn.BatchNorm2d]:
    return (layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d))


def parameter_groups(net: FCN, options: TrainOptions) -> list[dict[str, object]]:
    """Group parameters: the pretrained backbone has a lower rate, only kernels weight decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, weight in net.named_parameters():
        if weight.requires_grad:
            groups.setdefault((name.startswith("backbone."), weight.ndim > 1), []).append(weight)
    return [
        {
            "params": weights,
            "rate": options.rate * (options.backbone_rate if backbone else 1),
            "weight_decay": options.weight_decay if kernel else 0,
        }
        for (backbone, kernel), weights in groups.items()
    ]
