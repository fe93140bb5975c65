"""COCO's run-length encoding, by NumPy alone: `pycocotools` reads it, and would write the same.

In: a mask, or its run lengths. Out: the value of `segmentation` in a COCO annotation. Called by
`fcnserve_client.segmentation` and `fcnserve_client.datasets.coco`. The format is that of
cocodataset/cocoapi, common/maskApi.c (rleEncode, rleToString).
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

BITS, MORE, SIGN, OFFSET = 5, 0x20, 0x10, 48
"""Bits of a number in one character, the flag of a further one, the sign, and the first letter."""


def encode(mask: NDArray[np.bool_]) -> dict[str, object]:
    """Return `{"size": [H, W], "counts": str}` of a mask (H, W)."""
    height, width = mask.shape
    return {"size": [height, width], "counts": text(_run_lengths(mask))}


def _run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Count pixels outside and inside by turns, down the columns, outside first."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    begins = [0] if flat[:1].any() else []
    bounds = [0, *begins, *changes.tolist(), flat.size]
    return [after - before for before, after in pairwise(bounds)]


def text(lengths: list[int]) -> str:
    """Write the lengths of runs outside and inside by turns, outside first: each but the first
    three as its difference to the one before the last.
    """
    characters: list[str] = []
    for i, length in enumerate(lengths):
        rest = length - lengths[i - 2] if i > 2 else length  # noqa: PLR2004 - as in maskApi.c
        more = True
        while more:
            low, rest = rest & 0x1F, rest >> BITS
            more = rest != (-1 if low & SIGN else 0)
            characters.append(chr(OFFSET + (low | MORE if more else low)))
    return "".join(characters)
