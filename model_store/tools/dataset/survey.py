"""All masks of a set in, what they hold out: pixels by class, and what 255 means in them.

255 is void, as in PASCAL VOC. But masks of black and white alone are the commonest of two classes:
where a model has two and the folder's masks hold 0 and 255 and nothing else, 255 is the second.
Called before training and evaluation; nothing is learned or scored before all masks are read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model_store.tools.dataset.labelled import VOID, DataError, Legend, Pair, read_values
from model_store.tools.dataset.mask_file import VALUES

Histogram = NDArray[np.int64]

TWO = 2


@dataclass(frozen=True, slots=True)
class Survey:
    """What masks hold: `pixels` (photos, 256) counts each value, void as 255, and `legend` says
    what values mean.
    """

    pixels: Histogram
    legend: Legend

    def part(self, photos: slice) -> "Survey":
        """Say the same of some of the photos."""
        return Survey(self.pixels[photos], self.legend)

    @property
    def by_class(self) -> Histogram:
        """Pixels of each class in all masks: (classes,)."""
        return np.asarray(self.pixels[:, : len(self.legend.classes)].sum(0))

    def describe(self) -> str:
        """Say in a line what was understood."""
        whole = self.pixels.sum()
        told = [
            f"{name} {count / whole:.1%}"
            for name, count in zip(self.legend.classes, self.by_class, strict=True)
            if count
        ]
        void = self.pixels[:, VOID].sum()
        more = [f"void {void / whole:.1%}"] if void else []
        meaning = ""
        if self.legend.full != VOID:
            name = self.legend.classes[self.legend.full]
            meaning = f"; masks are black and white alone, so 255 is {name}"
        return f"{len(self.pixels)} masks: {', '.join(told + more)}{meaning}"


def survey(pairs: Sequence[Pair], legend: Legend) -> Survey:
    """Read all masks; raises DataError for the first that is wrong."""
    pixels = np.zeros((len(pairs), VALUES), np.int64)
    said = False
    for place, pair in enumerate(pairs):
        written = read_values(pair.mask, legend)
        pixels[place] = np.bincount(written.values.ravel(), minlength=VALUES)
        said = said or written.void_is_said
    if not said and len(legend.classes) == TWO and is_black_and_white(pixels.sum(0)):
        return as_second_class(pairs, pixels, legend)
    return Survey(pixels, legend)


def as_second_class(pairs: Sequence[Pair], pixels: Histogram, legend: Legend) -> Survey:
    """Take 255 for the second class, unless another mask of the folder shows that it is void."""
    read = {pair.mask for pair in pairs}
    folders = sorted({file.parent for file in read})
    others = (file for folder in folders for file in sorted(folder.glob("*.png")))
    for file in others:
        if file in read:
            continue
        try:
            written = read_values(file, legend)
        except DataError:  # of none that is used here
            continue
        if written.void_is_said or not holds(written.values, (0, VOID)):
            return Survey(pixels, legend)
    if legend.background == 1:
        raise DataError(
            f"masks are black and white alone, and of {' and '.join(legend.classes)} either may be "
            "the white one; save class numbers, 0 and 1"
        )
    pixels = pixels.copy()
    pixels[:, 1], pixels[:, VOID] = pixels[:, VOID], 0
    return Survey(pixels, replace(legend, full=1))


def is_black_and_white(histogram: Histogram) -> bool:
    return bool(histogram[VOID]) and set(np.flatnonzero(histogram).tolist()) <= {0, VOID}


def holds(values: NDArray[np.uint8], allowed: Iterable[int]) -> bool:
    """Whether there is nothing but what is allowed."""
    return bool(np.isin(values, list(allowed)).all())


def check_present(learned: Survey, held_out: Survey) -> None:
    """Raise DataError for a class that no mask to learn from has: training would unlearn it."""
    legend = learned.legend
    absent = [place for place, count in enumerate(learned.by_class) if not count]
    if not absent:
        return
    names = ", ".join(legend.classes[place] for place in absent)
    only = [legend.classes[place] for place in absent if held_out.by_class[place]]
    where = f" ({', '.join(only)}: in photos held out alone)" if only else ""
    void = legend.full == VOID and learned.pixels[:, VOID].any()
    more = ""
    if void and len(legend.classes) > TWO:
        more = "; 255 is void, and never a class, where a model has more than two"
    raise DataError(
        f"no mask to learn from has the class {names}{where}; {learned.describe()}{more}. Add "
        "masks that have it, begin a model without it (`fcnserve model new --classes`), or say "
        "--allow-absent to train all the same"
    )


def check_scored(held_out: Survey) -> None:
    """Raise DataError where nothing could be scored."""
    if not held_out.by_class.any():
        raise DataError(
            f"the photos held out have masks of void (255) alone; {held_out.describe()}. Name "
            "others in val.txt, or draw their classes"
        )
