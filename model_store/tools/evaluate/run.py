"""Labelled photos and a predictor in, a folder of figures and pictures out, at each photo size.

Called by `fcnserve model evaluate`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from model_store.tools.dataset.labelled import Legend
from model_store.tools.dataset.pairs import Pair
from model_store.tools.evaluate.confusion import Counts
from model_store.tools.evaluate.counting import count
from model_store.tools.evaluate.matrix import draw_matrix
from model_store.tools.evaluate.predict import Predictor
from model_store.tools.evaluate.report import COUNTS_FILE, Subject, write_report
from model_store.tools.evaluate.scores import Scores, score
from model_store.tools.evaluate.sheet import Sheet


def no_progress() -> None:
    """Report no progress."""


def evaluate(
    pairs: Sequence[Pair],
    subject: Subject,
    predictor: Predictor,
    times: Sequence[int],
    out: Path,
    photo_done: Callable[[], object] = no_progress,
) -> dict[int, Scores]:
    """Score the photos at each of `times` their size; write the report, and pictures of the first.

    Raises DataError, and what the predictor raises.
    """
    out.mkdir(parents=True, exist_ok=True)
    sheet = Sheet(pairs, subject.legend)
    counts = {
        size: counts_of(pairs, subject.legend, predictor, size, sheet, photo_done) for size in times
    }
    scores = {size: score(each) for size, each in counts.items()}
    write_report(subject, len(pairs), scores, out)
    draw_matrix(counts[times[0]].sum(0), subject.legend, out)
    sheet.draw(counts[times[0]], out)
    np.save(out / COUNTS_FILE, np.stack(list(counts.values())))  # (sizes, photos, classes, classes)
    return scores


def counts_of(
    pairs: Sequence[Pair],
    legend: Legend,
    predictor: Predictor,
    times: int,
    sheet: Sheet,
    photo_done: Callable[[], object],
) -> Counts:
    """Count all photos at one size: (photos, classes, classes)."""
    counts = []
    for number, (_, labels, each) in enumerate(count(pairs, legend, predictor, times)):
        counts.append(each)
        sheet.keep(number, labels[::times, ::times])
        photo_done()
    return np.stack(counts)
