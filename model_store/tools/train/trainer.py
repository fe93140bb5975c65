"""One network that learns: takes a batch, makes a step; keeps a moving average of its weights."""

from collections.abc import Iterable

import torch
from torch import nn

from handlers.net.fcn import FCN
from handlers.runtime.device import cpu_computes_bf16
from model_store.tools.dataset.labelled import Labels
from model_store.tools.train.checkpoint import State
from model_store.tools.train.data.crops import Values
from model_store.tools.train.depthwise import with_quick_gradients
from model_store.tools.train.loss import SAMPLED, pixel_loss
from model_store.tools.train.options import Options
from model_store.tools.train.schedule import factor


class Learner:
    """A network, its optimiser and its average, on one device."""

    def __init__(self, net: FCN, options: Options) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self._low = learns_in_bf16(self.device, options)
        if self._low and self.device.type == "cpu":
            with_quick_gradients(net)
        self.net = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # untyped
        self.net.train()
        if options.batch_norm == "frozen":
            for layer in norms(self.net):
                layer.eval()
        if options.freeze_early:
            for layer in self.net.backbone.early_layers():
                layer.requires_grad_(False)
        self.optimiser = torch.optim.AdamW(parameter_groups(self.net, options))
        self.average = {name: value.clone() for name, value in self.net.state_dict().items()}

    def go_on(self, state: State) -> None:
        """Take over the average and the optimiser's memory of a run that was interrupted."""
        self.average = {name: value.to(self.device) for name, value in state.average.items()}
        self.optimiser.load_state_dict(state.optimiser)

    def step(self, step: int, batch: tuple[Values, Labels]) -> float:
        """Learn from a batch; returns its loss."""
        pixels = torch.from_numpy(batch[0]).to(self.device).permute(0, 3, 1, 2)  # channels_last
        labels = torch.from_numpy(batch[1]).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._low):
            scores = self.net(pixels)
        loss = pixel_loss(scores, labels, divmod(step % SAMPLED**2, SAMPLED))
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * factor(step, self.options)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # in torch
        self.optimiser.step()
        self._follow(step)
        return float(loss.detach())

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the average; at first faster, since it began at the start."""
        keep = min(self.options.average, (1 + step) / (10 + step))
        for name, value in self.net.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - keep)


def learns_in_bf16(device: torch.device, options: Options) -> bool:
    """Weights and their averages stay fp32, whatever the maps are in."""
    if options.precision == "auto":
        return device.type == "cuda" or cpu_computes_bf16()
    return options.precision == "bf16"


def norms(net: nn.Module) -> Iterable[nn.BatchNorm2d]:
    return (layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d))


def parameter_groups(net: FCN, options: Options) -> list[dict[str, object]]:
    """The backbone learns slower than what begins from nothing; only kernels decay."""
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
