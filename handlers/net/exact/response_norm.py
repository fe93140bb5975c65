"""Local response normalisation: each response divided by those of its neighbouring channels.

Source: Krizhevsky, Sutskever and Hinton (NeurIPS 2012), section 3.3, with the numbers of the
published caffe networks. A layer of `handlers.net.alexnet`.
"""

from torch import Tensor, nn
from torch.nn.functional import pad

NEIGHBOURS = 5  # channels, the response's own included
ALPHA = 1e-4
BIAS = 1.0


class ResponseNorm(nn.Module):
    """`x / (1 + alpha / 5 * sum of x^2 over 5 channels)^0.75`, of each point by itself.

    torch's own layer takes a power, whose last bits depend on a number's position in memory, as
    those of SiLU do. Here the power 0.75 is made of square roots, which are rounded as the IEEE
    standard says, and the sum has a fixed order: a response has the same bits in any batch. In
    16 bits squares would overflow, so they are computed in fp32.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape and type."""
        channels, margin = x.shape[1], NEIGHBOURS // 2
        squares = pad(x.float().square(), (0, 0, 0, 0, margin, margin))
        total = squares[:, :channels]
        for offset in range(1, NEIGHBOURS):
            total = total + squares[:, offset : offset + channels]
        root = (total * (ALPHA / NEIGHBOURS) + BIAS).sqrt()
        return (x / (root * root.sqrt())).to(x.dtype)
