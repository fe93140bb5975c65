"""Scores in, `evaluation.json` and `evaluation.md` out.

Called by `model_store.tools.evaluate.run`.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from model_store.tools.dataset.labelled import Legend
from model_store.tools.evaluate.scores import COMMON_PHOTOS, Interval, Scores

JSON_FILE, MARKDOWN_FILE = "evaluation.json", "evaluation.md"
COUNTS_FILE = "counts.npy"

FIGURES = {
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_iou": "mean IoU",
    "frequency_weighted_iou": "frequency weighted IoU",
    "common_mean_iou": f"mean IoU of classes in {COMMON_PHOTOS} photos or more",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated: a model, its predictor and the photos."""

    legend: Legend
    version: str
    predictor: str  # a device and its precision, or a server's URL
    data: str
    selection: str = ""  # which photos of the data, and why


def write_report(subject: Subject, photos: int, scores: Mapping[int, Scores], out: Path) -> None:
    (out / JSON_FILE).write_text(json.dumps(document(subject, photos, scores), indent=1) + "\n")
    (out / MARKDOWN_FILE).write_text("\n".join(markdown(subject, photos, scores)) + "\n")


def document(subject: Subject, photos: int, scores: Mapping[int, Scores]) -> dict[str, object]:
    """Give figures with their intervals, and by class; null where a class is in no photo."""
    return {
        "model": subject.legend.model,
        "version": subject.version,
        "through": subject.predictor,
        "data": subject.data,
        "chosen": subject.selection,
        "photos": photos,
        "sizes": {f"{times}x": of_size(subject.legend, each) for times, each in scores.items()},
    }


def of_size(legend: Legend, scores: Scores) -> dict[str, object]:
    figures = {
        name: {bound: rounded(value) for bound, value in asdict(getattr(scores, name)).items()}
        for name in FIGURES
    }
    classes = {
        name: {
            "photos": int(scores.photos[number]),
            "accuracy": rounded(float(scores.accuracy[number])),
            "iou": rounded(float(scores.iou[number])),
        }
        for number, name in enumerate(legend.classes)
    }
    return {**figures, "classes": classes}


def rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)


def markdown(subject: Subject, photos: int, scores: Mapping[int, Scores]) -> Iterator[str]:
    """Write two tables with a column for each size."""
    sizes = [f"{times}x" for times in scores]
    yield f"# {subject.legend.model} {subject.version} on {photos} photos"
    yield ""
    selection = f": {subject.selection}" if subject.selection else ""
    yield f"{subject.data}{selection}, through {subject.predictor}."
    yield "In brackets: 95 % of bootstrap samples of the photos. Void pixels are left out."
    yield ""
    yield f"| photo size | {' | '.join(sizes)} |"
    yield f"|---{'|---' * len(sizes)}|"
    for name, title in FIGURES.items():
        cells = (interval(getattr(each, name)) for each in scores.values())
        yield f"| {title} | {' | '.join(cells)} |"
    yield ""
    yield f"| class | photos | {' | '.join(f'IoU {size} | accuracy {size}' for size in sizes)} |"
    yield f"|---|---{'|---|---' * len(sizes)}|"
    for number, name in enumerate(subject.legend.classes):
        pairs = ((each.iou[number], each.accuracy[number]) for each in scores.values())
        cells = (f"{figure(float(iou))} | {figure(float(accuracy))}" for iou, accuracy in pairs)
        shown = next(iter(scores.values())).photos[number]
        yield f"| {name} | {shown} | {' | '.join(cells)} |"


def interval(each: Interval) -> str:
    return (
        "none" if math.isnan(each.value) else f"{each.value:.3f} ({each.low:.3f}-{each.high:.3f})"
    )


def figure(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"
