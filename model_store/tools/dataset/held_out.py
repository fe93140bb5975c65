"""The photos that a training held out: listed in the run's folder, found again by evaluation.

`val.txt` has their names; `val.sha256` identifies the photos by digest, since another data set may
have the same names. Both are copied with the weights, wherever the run's folder is. Training
writes the lists, and `fcnserve model evaluate` selects photos by them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_store.tools.dataset.pairs import IMAGES, Pair, find_pairs, read_names

# a run's folder within a model's, unless --run names another
RUN = "training"
VAL_LIST, DIGESTS = "val.txt", "val.sha256"


@dataclass(frozen=True, slots=True)
class Selection:
    """Photos to score, and the reason for these."""

    pairs: Sequence[Pair]
    reason: str


def write_lists(held_out: Sequence[Pair], run: Path) -> None:
    """Write both files into a run's folder."""
    (run / VAL_LIST).write_text("".join(f"{pair.name}\n" for pair in held_out))
    lines = (f"{digest(pair.photo)}  {IMAGES}/{pair.photo.name}\n" for pair in held_out)
    (run / DIGESTS).write_text("".join(lines))


def copy_lists(run: Path, folder: Path) -> None:
    """Copy both files of a run beside the weights that a folder has of it."""
    for name in (VAL_LIST, DIGESTS):
        content = (run / name).read_bytes()
        (folder / name).write_bytes(content)


def select(data: Path, listed: Path | None, folder: Path | None) -> Selection:
    """Select the photos that a model is scored on: those it was not trained on, where known.

    The first of these that exists: the names in `listed`; the held-out photos of the folder's own
    training, as far as they are in the data; the data's val.txt; all photos. Raises DataError.
    """
    if listed is not None:
        return from_list(data, listed)
    training = find_lists(folder) if folder else None
    if training and (selection := from_training(data, training)):
        return selection
    if (data / VAL_LIST).exists():
        return from_list(data, data / VAL_LIST)
    pairs = find_pairs(data)
    other = f"; its training held out photos of another data set ({training})" if training else ""
    return Selection(pairs, f"all {len(pairs)} photos, any that it was trained on too{other}")


def from_list(data: Path, file: Path) -> Selection:
    pairs = find_pairs(data, read_names(file))
    return Selection(pairs, f"the {len(pairs)} photos listed ({file})")


def from_training(data: Path, training: Path) -> Selection | None:
    """Select the held-out photos that are unchanged in the data; None where there are none."""
    listed = [line.split("  ", 1) for line in (training / DIGESTS).read_text().splitlines()]
    kept = [Path(name).stem for expected, name in listed if has_digest(data / name, expected)]
    if not kept:
        return None
    lost = len(listed) - len(kept)
    changed = f"; {lost} other{'s' * (lost > 1)} gone or changed since" if lost else ""
    reason = f"the {len(kept)} photos held out in its training ({training / VAL_LIST}{changed})"
    return Selection(find_pairs(data, kept), reason)


def find_lists(folder: Path) -> Path | None:
    """Find the lists of a folder's weights: beside them, in its run, or in the run it is of."""
    candidates = folder, folder / RUN, folder.resolve().parent
    return next((each for each in candidates if (each / DIGESTS).exists()), None)


def has_digest(photo: Path, expected: str) -> bool:
    return photo.is_file() and digest(photo) == expected


def digest(photo: Path) -> str:
    return hashlib.sha256(photo.read_bytes()).hexdigest()
