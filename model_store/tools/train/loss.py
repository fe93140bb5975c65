"""Scores and labels in, one number out: the mean cross-entropy of the pixels that are not void."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from model_store.tools.dataset.labelled import VOID

# every second pixel of every second row is scored: a quarter of the time, and neighbours say the
# same
SAMPLED = 2


def pixel_loss(scores: Tensor, labels: Tensor, phase: tuple[int, int]) -> Tensor:
    """Take scores (N, classes, h, w) of a finished or a coarse map, and labels (N, H, W).

    `phase` says which pixel of each 2x2 block is compared. The coarse map is brought up
    bilinearly, as serving does it (`handlers.runtime.upsample`), to the middles of those blocks.
    """
    down, right = phase
    sampled = labels[:, down::SAMPLED, right::SAMPLED].long()
    if scores.shape[2:] == labels.shape[1:]:
        at = scores[:, :, down::SAMPLED, right::SAMPLED]
    else:
        at = interpolate(scores.float(), size=sampled.shape[1:], mode="bilinear")
    total = cross_entropy(at.float(), sampled, ignore_index=VOID, reduction="sum")
    known = (sampled != VOID).sum().clamp(min=1)  # a crop may be void altogether
    return torch.as_tensor(total / known)
