"""What forward passes take on this device, as `handlers.runtime.warm_up.run` has measured it.

`handlers.stages.plan` splits batches by it.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from handlers.shared.frame import Frame


@dataclass(frozen=True, slots=True)
class SharedPass:
    """A pass that photos may share: its milliseconds, and which photos, by the canvases of their
    single passes: those where the pass gives the same bits. None: all photos.
    """

    ms: float
    single_canvases: frozenset[Frame] | None = None

    def admits(self, single_canvases: Sequence[Frame]) -> bool:
        """Return whether photos with these canvases of their single passes may share it."""
        return self.single_canvases is None or self.single_canvases.issuperset(single_canvases)


@dataclass(frozen=True, slots=True)
class PassCosts:
    """Milliseconds of forward passes.

    A single pass that was not measured is a straight line over its canvas's pixels. `shared` has
    the passes that were, by canvas and number of photos: they fit the budget. `ladder` has the
    heights and widths of their canvases.
    """

    launch_ms: float
    ms_per_pixel: float
    ladder: tuple[int, ...] = ()
    shared: Mapping[tuple[Frame, int], SharedPass] = field(default_factory=dict)
    # the numbers of photos, from two on, that may share some pass
    shared_images: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        images = frozenset(images for _, images in self.shared if images > 1)
        object.__setattr__(self, "shared_images", images)  # frozen

    def single_ms(self, canvas: Frame) -> float:
        """Predict the pass of a single photo."""
        measured = self.shared.get((canvas, 1))
        return measured.ms if measured else self.launch_ms + self.ms_per_pixel * canvas.pixels

    def shared_canvas(self, height: int, width: int) -> Frame | None:
        """Find the smallest shared canvas for (height, width); None above the ladder's top."""
        return ladder_canvas(self.ladder, height, width)


def ladder_canvas(ladder: Sequence[int], height: int, width: int) -> Frame | None:
    """Find the smallest canvas with sides of `ladder` for (height, width); None above its top."""
    row, column = bisect_left(ladder, height), bisect_left(ladder, width)
    if max(row, column) == len(ladder):
        return None
    return Frame(ladder[row], ladder[column])
