"""Depthwise convolutions with fp32 gradients compute what the layer computes."""

import pytest
import torch
from torch import Tensor

from model_store.tools.train.depthwise import use_fp32_gradients


@pytest.mark.parametrize("stride", [1, 2])
def test_fp32_gradients_equal_those_of_the_layer(stride: int) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Sequential(
        torch.nn.Conv2d(6, 6, 5, stride, padding=2, groups=6, bias=False)
    ).to(torch.float32)
    x = torch.randn(2, 6, 9, 11)
    expected = gradients(layer, x)
    use_fp32_gradients(layer)
    assert list(layer.state_dict()) == ["0.weight"]
    for ours, theirs in zip(gradients(layer, x.bfloat16()), expected, strict=True):
        torch.testing.assert_close(ours.float(), theirs, rtol=0.02, atol=0.05)
    torch.testing.assert_close(gradients(layer, x), expected)


def gradients(net: torch.nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    maps = x.detach().requires_grad_()
    net.zero_grad()
    net(maps).float().square().mean().mul(100).backward()
    (weight,) = net.parameters()
    assert maps.grad is not None
    assert weight.grad is not None
    return maps.grad, weight.grad.clone()
