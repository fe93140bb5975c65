"""A data set's folder in, its training photos and held-out photos out.

Called by `fcnserve model train`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_store.tools.dataset.errors import DataError
from model_store.tools.dataset.held_out import VAL_LIST
from model_store.tools.dataset.pairs import Pair, find_pairs, read_names

TRAIN_LIST = "train.txt"
# without lists, every tenth photo by name is held out
HELD_OUT = 10
MIN_PHOTOS = 2


@dataclass(frozen=True, slots=True)
class Split:
    """Photos with masks."""

    train: Sequence[Pair]
    val: Sequence[Pair]


def split(data: Path) -> Split:
    """Read the folder's lists, or hold out every tenth photo; raises DataError."""
    lists = [data / TRAIN_LIST, data / VAL_LIST]
    there = [file for file in lists if file.exists()]
    if len(there) == 1:
        (missing,) = set(lists) - set(there)
        raise DataError(
            f"{data} has {there[0].name} but no {missing.name}; write both lists, or neither: then "
            "every tenth photo is held out"
        )
    if there:
        train, val = (find_pairs(data, read_names(file)) for file in lists)
        check_disjoint(train, val)
        return Split(train, val)
    return every_tenth(data, find_pairs(data))


def every_tenth(data: Path, pairs: Sequence[Pair]) -> Split:
    if len(pairs) < MIN_PHOTOS:
        raise DataError(
            f"{data} has {len(pairs)} photo with a mask; training takes {MIN_PHOTOS} at least: one "
            "to train on, one to hold out"
        )
    held = range(0, len(pairs), HELD_OUT)
    return Split(
        [pair for number, pair in enumerate(pairs) if number not in held],
        [pairs[number] for number in held],
    )


def check_disjoint(train: Sequence[Pair], val: Sequence[Pair]) -> None:
    both = sorted({pair.name for pair in train} & {pair.name for pair in val})
    if both:
        raise DataError(
            f"{len(both)} names are in {TRAIN_LIST} and in {VAL_LIST} ({both[0]}, ...); a photo "
            "that was trained on measures nothing: take them out of one list"
        )
