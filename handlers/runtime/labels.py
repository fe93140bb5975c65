"""What is asked of a photo's scores, and the labels that they become.

`handlers.stages.forward` asks for labels, `handlers.stages.encode` reads them in another thread.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handlers.shared.frame import Size

LabelArray = NDArray[np.uint8]  # (H, W): class numbers, or confidence from 0 to 255


@dataclass(frozen=True, slots=True)
class OutputRequest:
    """Labels of the photo's own `size`, and on request the confidence of each."""

    size: Size
    confidence: bool = False


class PendingLabels(ABC):
    """One photo's labels, which the device or the reading thread has yet to compute."""

    @abstractmethod
    def wait(self) -> None:
        """Wait until the device has done its part, without holding the GIL."""

    @abstractmethod
    def read(self) -> tuple[LabelArray, LabelArray | None]:
        """Return classes (H, W), and confidence (H, W) where the request asks for it."""
