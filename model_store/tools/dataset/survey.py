"""All masks of a set in, pixels by class out, and what 255 means in them.

255 is void, as in PASCAL VOC. But two classes are most often drawn in black and white: where a
model has two and the folder's masks hold only 0 and 255, 255 is the second class. Called before
training and evaluation, which start only after all masks were read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model_store.tools.dataset.errors import DataError
from model_store.tools.dataset.labelled import VOID, Legend, read_values
from model_store.tools.dataset.mask_file import VALUES
from model_store.tools.dataset.pairs import Pair

Histogram = NDArray[np.int64]

TWO = 2


@dataclass(frozen=True, slots=True)
class Survey:
    """The contents of masks: `pixels` (photos, 256) counts each value, with void as 255; `legend`
    gives the meaning of the values.
    """

    pixels: Histogram
    legend: Legend

    def part(self, photos: slice) -> "Survey":
        """Give the survey of some of the photos."""
        return Survey(self.pixels[photos], self.legend)

    @property
    def by_class(self) -> Histogram:
        """Pixels of each class in all masks: (classes,)."""
        return np.asarray(self.pixels[:, : len(self.legend.classes)].sum(0))

    def describe(self) -> str:
        """Write the shares of the classes, and the meaning of 255, in one line."""
        total = self.pixels.sum()
        parts = [
            f"{name} {count / total:.1%}"
            for name, count in zip(self.legend.classes, self.by_class, strict=True)
            if count
        ]
        void = self.pixels[:, VOID].sum()
        more = [f"void {void / total:.1%}"] if void else []
        meaning = ""
        if self.legend.full != VOID:
            name = self.legend.classes[self.legend.full]
            meaning = f"; masks are black and white alone, so 255 is {name}"
        return f"{len(self.pixels)} masks: {', '.join(parts + more)}{meaning}"


def survey(pairs: Sequence[Pair], legend: Legend) -> Survey:
    """Read all masks; raises DataError for the first that is wrong."""
    pixels = np.zeros((len(pairs), VALUES), np.int64)
    void_by_colour = False
    for number, pair in enumerate(pairs):
        mask = read_values(pair.mask, legend)
        pixels[number] = np.bincount(mask.values.ravel(), minlength=VALUES)
        void_by_colour = void_by_colour or mask.void_by_colour
    two_classes = not void_by_colour and len(legend.classes) == TWO
    if two_classes and is_black_and_white(pixels.sum(0)):
        return with_white_class(pairs, pixels, legend)
    return Survey(pixels, legend)


def with_white_class(pairs: Sequence[Pair], pixels: Histogram, legend: Legend) -> Survey:
    """Take 255 for the second class, unless another mask of the folder shows that it is void."""
    if void_in_other_masks(pairs, legend):
        return Survey(pixels, legend)
    if legend.background == 1:
        raise DataError(
            f"masks are black and white alone, and of {' and '.join(legend.classes)} either may be "
            "the white one; save class numbers, 0 and 1"
        )
    pixels = pixels.copy()
    pixels[:, 1], pixels[:, VOID] = pixels[:, VOID], 0
    return Survey(pixels, replace(legend, full=1))


def void_in_other_masks(pairs: Sequence[Pair], legend: Legend) -> bool:
    """Read the folder's masks that are not in `pairs`, to see whether 255 is void in them."""
    read = {pair.mask for pair in pairs}
    folders = sorted({file.parent for file in read})
    others = (file for folder in folders for file in sorted(folder.glob("*.png")))
    for file in others:
        if file in read:
            continue
        try:
            mask = read_values(file, legend)
        except DataError:  # a broken mask that is not used here
            continue
        if mask.void_by_colour or not holds_only(mask.values, (0, VOID)):
            return True
    return False


def is_black_and_white(histogram: Histogram) -> bool:
    return bool(histogram[VOID]) and set(np.flatnonzero(histogram).tolist()) <= {0, VOID}


def holds_only(values: NDArray[np.uint8], allowed: Iterable[int]) -> bool:
    return bool(np.isin(values, list(allowed)).all())


def check_present(train: Survey, held_out: Survey) -> None:
    """Raise DataError for a class that no training mask has: training would degrade its scores."""
    legend = train.legend
    absent = [number for number, count in enumerate(train.by_class) if not count]
    if not absent:
        return
    names = ", ".join(legend.classes[number] for number in absent)
    only = [legend.classes[number] for number in absent if held_out.by_class[number]]
    where = f" ({', '.join(only)}: in held-out photos alone)" if only else ""
    void = legend.full == VOID and train.pixels[:, VOID].any()
    more = ""
    if void and len(legend.classes) > TWO:
        more = "; 255 is void, and never a class, where a model has more than two"
    raise DataError(
        f"no training mask has the class {names}{where}; {train.describe()}{more}. Add "
        "masks that have it, create a model without it (`fcnserve model new --classes`), or give "
        "--allow-absent to train all the same"
    )


def check_scored(held_out: Survey) -> None:
    """Raise DataError where the held-out masks are void alone, so that no pixel is scored."""
    if not held_out.by_class.any():
        raise DataError(
            f"the held-out photos have masks of void (255) alone; {held_out.describe()}. Name "
            "others in val.txt, or draw their classes"
        )
