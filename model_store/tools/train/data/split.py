"""Which photos are learned from, and which are only looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_store.tools.dataset.held_out import VAL_LIST
from model_store.tools.dataset.labelled import DataError, Pair, find_pairs, read_names

TRAIN_LIST = "train.txt"
# where there are no lists, every tenth photo by name is held out
HELD_OUT = 10
FEWEST = 2


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
        check_apart(train, val)
        return Split(train, val)
    pairs = find_pairs(data)
    if len(pairs) < FEWEST:
        raise DataError(
            f"{data} has {len(pairs)} photo with a mask; training takes {FEWEST} at least: one to "
            "learn from, one to look at"
        )
    held = range(0, len(pairs), HELD_OUT)
    return Split(
        [pair for place, pair in enumerate(pairs) if place not in held],
        [pairs[place] for place in held],
    )


def check_apart(train: Sequence[Pair], val: Sequence[Pair]) -> None:
    both = sorted({pair.name for pair in train} & {pair.name for pair in val})
    if both:
        raise DataError(
            f"{len(both)} names are in {TRAIN_LIST} and in {VAL_LIST} ({both[0]}, ...); a photo "
            "that was learned from is no measure: take them out of one list"
        )
