"""Which photos a training held out: noted in the run's folder, found again by evaluation.

`val.txt` has their names; `val.sha256` says by digests which photos those were, since another data
set may have the same names.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_store.labelled import IMAGES, Pair, find_pairs, read_names

# a run's folder within a model's, unless --run names another
RUN = "training"
VAL_LIST, DIGESTS = "val.txt", "val.sha256"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Photos to score, and why these."""

    pairs: Sequence[Pair]
    why: str


def note(held_out: Sequence[Pair], run: Path) -> None:
    """Write both files into a run's folder."""
    (run / VAL_LIST).write_text("".join(f"{pair.name}\n" for pair in held_out))
    lines = (f"{digest(pair.photo)}  {IMAGES}/{pair.photo.name}\n" for pair in held_out)
    (run / DIGESTS).write_text("".join(lines))


def choose(data: Path, listed: Path | None, folder: Path | None) -> Chosen:
    """Choose what a model is scored on: photos that it has not learned from, where that is known.

    `listed` names them; else a folder's own training does, if it was on these photos, else the
    data's val.txt; else all are taken. Raises DataError.
    """
    if listed is not None:
        return from_list(data, listed, "listed")
    training = noted_in(folder) if folder else None
    if training and is_of(training / DIGESTS, data):
        return from_list(data, training / VAL_LIST, "held out in its training")
    if (data / VAL_LIST).exists():
        return from_list(data, data / VAL_LIST, "listed")
    pairs = find_pairs(data)
    known = f"; {training} held out photos of another data set" if training else ""
    return Chosen(pairs, f"all {len(pairs)} photos, any that it was trained on too{known}")


def from_list(data: Path, file: Path, how: str) -> Chosen:
    pairs = find_pairs(data, read_names(file))
    return Chosen(pairs, f"the {len(pairs)} photos {how} ({file})")


def noted_in(folder: Path) -> Path | None:
    """Find the run that made a folder's weights: its own, or the run that the folder is of."""
    runs = folder / RUN, folder.resolve().parent
    return next((run for run in runs if (run / DIGESTS).exists()), None)


def is_of(digests: Path, data: Path) -> bool:
    """Whether all photos that are noted are those of `data`."""
    noted = [line.split("  ", 1) for line in digests.read_text().splitlines()]
    files = [(word, data / name) for word, name in noted]
    return bool(files) and all(file.is_file() and digest(file) == word for word, file in files)


def digest(photo: Path) -> str:
    return hashlib.sha256(photo.read_bytes()).hexdigest()
