"""Labels are reduced to the working size like their photo."""

import numpy as np

from model_store.tools.train.examples import nearest


def test_reduced_labels_are_those_at_the_centres_of_pixels() -> None:
    labels = np.arange(6, dtype=np.uint8)[None].repeat(3, 0)
    assert nearest(labels, (1, 2)).tolist() == [[1, 4]]
    assert nearest(labels, (3, 6)).tolist() == labels.tolist()
