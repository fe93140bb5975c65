"""The classes' shares of a photo, read from an answer that tells them.

In: an answer. Out: the share of the photo's pixels, 0 to 1, by class. Called by
`service.client.segment`, for the results of `fcnserve segment --jsonl`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from fcnserve_client import Model, Rendered, Segmentation
from service.client.files import OutputName

Shares = Mapping[str, float]
LABEL_MAPS: tuple[OutputName, ...] = ("mask", "labels", "confidence")
DIGITS = 6


def shares_reader(output: OutputName, model: Model) -> Callable[[Rendered], Shares | None]:
    """Give the reader for an output; overlays and polygons have none of them.

    A label map of another model, which was loaded meanwhile, may have other classes: None, too.
    """
    readers: dict[OutputName, Callable[[bytes], Shares]] = {"summary": _of_summary, "rle": _of_rle}
    readers |= dict.fromkeys(LABEL_MAPS, lambda body: _of_label_map(body, model))
    read = readers.get(output)

    def read_or_none(answer: Rendered) -> Shares | None:
        if read is None or (output in LABEL_MAPS and answer.model != model.tag):
            return None
        try:
            return read(answer.body)
        except (ValueError, LookupError, TypeError):  # no answer of this release
            return None

    return read_or_none


def _of_label_map(png: bytes, model: Model) -> Shares:
    classes = Segmentation.from_png(png, model).classes
    return {name: round(area.share, DIGITS) for name, area in classes.items()}


def _of_summary(body: bytes) -> Shares:
    answer: dict[str, Any] = json.loads(body)
    return {each["class_name"]: round(each["share"], DIGITS) for each in answer["classes"]}


def _of_rle(body: bytes) -> Shares:
    answer: dict[str, Any] = json.loads(body)
    height, width = answer["size"]
    pixels = height * width
    return {each["class_name"]: round(each["area"] / pixels, DIGITS) for each in answer["segments"]}
