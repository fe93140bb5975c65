"""A transposed convolution computed by phases is torch's own."""

import pytest
import torch
from torch import nn

from handlers.net.exact.layers import PhasedConvTranspose2d


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "groups"),
    [
        pytest.param(16, 8, 0, 1, id="upscore8"),
        pytest.param(64, 32, 16, 1, id="upscore-padded"),
        pytest.param(4, 2, 1, 3, id="per-class"),
        pytest.param((4, 5), (2, 3), (1, 2), 1, id="lopsided"),
        pytest.param(3, 4, 0, 1, id="kernel-below-stride"),
        pytest.param((2, 7), 1, 1, 1, id="stride-1"),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 3)], ids=str)
@torch.inference_mode()
def test_phases_make_the_transposed_convolution(
    kernel: int, stride: int, padding: int, groups: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(6, 9, kernel, stride, padding, groups=groups)
    maps = torch.randn(2, 6, *size)
    expected = layer(maps)
    found = PhasedConvTranspose2d(layer)(maps)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
