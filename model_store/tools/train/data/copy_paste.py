"""Copy-paste augmentation: two examples in, one with an object of the other pasted into it out.

A class of ten photos thus appears in many surroundings. Source: Ghiasi et al., "Simple Copy-Paste
is a Strong Data Augmentation Method" (CVPR 2021). They paste instances; semantic masks have none,
so all of a class in a photo is pasted at once. Called by `model_store.tools.train.examples`.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from model_store.tools.dataset.labelled import VOID
from model_store.tools.train.data.crops import Example

# a pasted object's outline fades over as many pixels
FADE = 3


def copy_paste(random: Generator, onto: Example, source: Example, class_id: int) -> Example:
    """Paste what is of class `class_id` in `source` into `onto`, at a random position."""
    mask = source.labels == class_id
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return onto
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    cut, target = overlap(random, box, onto.labels.shape)
    return blend(onto, source, mask, cut, target)


Box = tuple[slice, slice]


def overlap(random: Generator, box: Box, shape: tuple[int, ...]) -> tuple[Box, Box]:
    """Move `box` to a random position in a map of `shape`; returns its source and its target."""
    cut, target = [], []
    for axis, length in zip(box, shape, strict=True):
        size = min(axis.stop - axis.start, length)
        start = int(random.integers(0, length - size + 1))
        cut.append(slice(axis.start, axis.start + size))
        target.append(slice(start, start + size))
    return (cut[0], cut[1]), (target[0], target[1])


def blend(
    onto: Example, source: Example, mask: NDArray[np.bool_], cut: Box, target: Box
) -> Example:
    """Copy the masked pixels with a soft outline, and their labels."""
    inside = mask[cut]
    soft = cv2.blur(inside.astype(np.float32), (FADE, FADE))[..., None]
    pixels, labels = onto.pixels.copy(), onto.labels.copy()
    pixels[target] += soft * (source.pixels[cut] - pixels[target])
    pasted = labels[target]
    # the outline was void in the source, and mixes two classes here
    pasted[(soft[..., 0] > 0) & ~inside] = VOID
    pasted[inside] = source.labels[cut][inside]
    return replace(onto, pixels=pixels, labels=labels)
