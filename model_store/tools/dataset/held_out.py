"""Which photos a training held out: noted in the run's folder, found again by evaluation.

`val.txt` has their names; `val.sha256` says by digests which photos those were, since another data
set may have the same names. Both are copied along with the weights, wherever the run's folder is.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_store.tools.dataset.labelled import IMAGES, Pair, find_pairs, read_names

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


def copy_notes(run: Path, folder: Path) -> None:
    """Put both files of a run beside the weights that a folder has of it."""
    for name in (VAL_LIST, DIGESTS):
        content = (run / name).read_bytes()
        (folder / name).write_bytes(content)


def choose(data: Path, listed: Path | None, folder: Path | None) -> Chosen:
    """Choose what a model is scored on: photos that it has not learned from, where that is known.

    `listed` names them; else a folder's own training does, as far as its photos are in the data;
    else the data's val.txt; else all are taken. Raises DataError.
    """
    if listed is not None:
        return from_list(data, listed, "listed")
    training = noted_in(folder) if folder else None
    if training and (chosen := from_notes(data, training)):
        return chosen
    if (data / VAL_LIST).exists():
        return from_list(data, data / VAL_LIST, "listed")
    pairs = find_pairs(data)
    known = f"; its training held out photos of another data set ({training})" if training else ""
    return Chosen(pairs, f"all {len(pairs)} photos, any that it was trained on too{known}")


def from_list(data: Path, file: Path, how: str) -> Chosen:
    pairs = find_pairs(data, read_names(file))
    return Chosen(pairs, f"the {len(pairs)} photos {how} ({file})")


def from_notes(data: Path, training: Path) -> Chosen | None:
    """Choose the photos held out that are in the data as they were; None where none is."""
    noted = [line.split("  ", 1) for line in (training / DIGESTS).read_text().splitlines()]
    kept = [Path(name).stem for word, name in noted if is_as_noted(data / name, word)]
    if not kept:
        return None
    part, lost = len(kept), len(noted) - len(kept)
    changed = f"; {lost} other{'s' * (lost > 1)} gone or changed since" if lost else ""
    why = f"the {part} photos held out in its training ({training / VAL_LIST}{changed})"
    return Chosen(find_pairs(data, kept), why)


def noted_in(folder: Path) -> Path | None:
    """Find the notes on a folder's weights: beside them, in its run, or in the run it is of."""
    places = folder, folder / RUN, folder.resolve().parent
    return next((place for place in places if (place / DIGESTS).exists()), None)


def is_as_noted(photo: Path, word: str) -> bool:
    return photo.is_file() and digest(photo) == word


def digest(photo: Path) -> str:
    return hashlib.sha256(photo.read_bytes()).hexdigest()
