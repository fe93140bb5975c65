"""True labels and predicted ones in, counts out: `counts[i, j]` pixels of class i were called j."""

import numpy as np
from numpy.typing import NDArray

from model_store.tools.dataset.labelled import VOID, Labels

Counts = NDArray[np.int64]


def confusion(truth: Labels, predicted: Labels, classes: int) -> Counts:
    """Count a photo's pixels: (classes, classes). Void ones are left out."""
    known = truth != VOID
    pairs = truth[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
