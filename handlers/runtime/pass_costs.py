"""What forward passes take on this device, as `handlers.runtime.warm_up` has measured it.

`handlers.stages.plan` splits batches by it.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from handlers.shared.frame import Frame


@dataclass(frozen=True, slots=True)
class PassCosts:
    """Milliseconds of forward passes.

    A pass of a single photo is a straight line over its frame's pixels. `shared_ms` has the passes
    that photos may share, by canvas and number of photos; each was found to give the same bits as
    single passes, and fits the budget. `ladder` has the heights and widths of their canvases,
    `shared_images` the numbers of photos that may share some pass.
    """

    launch_ms: float
    ms_per_pixel: float
    ladder: tuple[int, ...] = ()
    shared_ms: Mapping[tuple[Frame, int], float] = field(default_factory=dict)
    shared_images: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        images = frozenset(images for _, images in self.shared_ms)
        object.__setattr__(self, "shared_images", images)  # frozen

    def single_ms(self, frame: Frame) -> float:
        """Predict the pass of a single photo on its own frame."""
        return self.shared_ms.get((frame, 1), self.launch_ms + self.ms_per_pixel * frame.pixels)

    def shared_canvas(self, height: int, width: int) -> Frame | None:
        """Find the smallest shared canvas for (height, width); None above the ladder's top."""
        row, column = bisect_left(self.ladder, height), bisect_left(self.ladder, width)
        if max(row, column) == len(self.ladder):
            return None
        return Frame(self.ladder[row], self.ladder[column])
