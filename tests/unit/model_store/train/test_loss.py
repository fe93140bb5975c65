"""The loss is the cross-entropy of sampled pixels, at the positions of serving."""

import torch
from torch.nn.functional import cross_entropy

from handlers.net.fcn import FRACTIONS
from handlers.runtime.upsample.processor import ScoreGrid
from model_store.tools.dataset.labelled import VOID
from model_store.tools.train.loss import pixel_loss


def test_the_loss_of_a_full_size_map_is_the_cross_entropy_of_the_sampled_pixels() -> None:
    torch.manual_seed(0)
    scores, labels = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
    expected = cross_entropy(scores[:, :, 1::2, ::2], labels[:, 1::2, ::2])
    torch.testing.assert_close(pixel_loss(scores, labels.to(torch.uint8), (1, 0)), expected)


def test_void_pixels_have_no_gradient() -> None:
    torch.manual_seed(0)
    scores = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels = torch.zeros(1, 4, 4, dtype=torch.uint8)
    labels[:, :2] = VOID
    pixel_loss(scores, labels, (0, 0)).backward()  # type: ignore[no-untyped-call]  # in torch
    assert scores.grad is not None
    assert not scores.grad[:, :, :2].any()
    assert scores.grad[:, :, 2, 0].any()


def test_a_crop_of_void_alone_has_no_loss() -> None:
    labels = torch.full((1, 4, 4), VOID, dtype=torch.uint8)
    assert pixel_loss(torch.randn(1, 3, 4, 4), labels, (0, 0)) == 0


def test_a_coarse_map_is_upsampled_as_in_serving() -> None:
    """Away from the edges, the labels of serving have the least loss."""
    torch.manual_seed(0)
    coarse = 100 * torch.randn(1, 3, 6, 6)
    served = ScoreGrid(coarse[0], FRACTIONS[0], (48, 48), (48, 48)).labels()[None]
    inner = torch.full_like(served, VOID)
    inner[:, 4:44, 4:44] = served[:, 4:44, 4:44]
    losses = {
        shift: min(float(pixel_loss(coarse, inner.roll(shift, 2), phase)) for phase in PHASES)
        for shift in (-2, 0, 2)
    }
    assert min(losses, key=lambda shift: losses[shift]) == 0


PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))
