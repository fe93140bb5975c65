"""True and predicted labels in, counts out: `counts[i, j]` pixels of class i predicted as j.

Called by `model_store.tools.evaluate.counting`.
"""

import numpy as np
from numpy.typing import NDArray

from model_store.tools.dataset.labelled import VOID, Labels

Counts = NDArray[np.int64]


def confusion(truth: Labels, predicted: Labels, classes: int) -> Counts:
    """Count a photo's pixels: (classes, classes). Void pixels are left out."""
    scored = truth != VOID
    pairs = truth[scored].astype(np.int64) * classes + predicted[scored]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
