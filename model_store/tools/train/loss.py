"""Scores and labels in, one number out: the mean cross-entropy of the pixels that are not void.

Called by `model_store.tools.train.trainer`.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from model_store.tools.dataset.labelled import VOID

# every second pixel of every second row is scored: a quarter of the time, and adjacent pixels
# have nearly the same loss
SAMPLED = 2


def pixel_loss(scores: Tensor, labels: Tensor, phase: tuple[int, int]) -> Tensor:
    """Compute the loss of scores (N, classes, h, w), full-size or coarse, on labels (N, H, W).

    `phase` selects the (row, column) of each 2x2 block that is compared. A coarse map is upsampled
    bilinearly, as serving does it (`handlers.runtime.upsample`), to the middles of those blocks.
    """
    down, right = phase
    sampled = labels[:, down::SAMPLED, right::SAMPLED].long()
    if scores.shape[2:] == labels.shape[1:]:
        at = scores[:, :, down::SAMPLED, right::SAMPLED]
    else:
        at = interpolate(scores.float(), size=sampled.shape[1:], mode="bilinear")
    total = cross_entropy(at.float(), sampled, ignore_index=VOID, reduction="sum")
    scored = (sampled != VOID).sum().clamp(min=1)  # a crop may be void altogether
    return torch.as_tensor(total / scored)
