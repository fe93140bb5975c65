"""COCO's panoptic form: photos and results in, PNGs and `panoptic.json` out.

    images/NAME.jpg
    panoptic/NAME.png   the number of each pixel's segment, as red + 256 green + 65536 blue
    panoptic.json

A class is one segment, numbered class id + 1, and "stuff": a semantic network does not separate
objects. Background and void are 0, unlabelled. One of the writers in `fcnserve_client.datasets`.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from fcnserve_client.datasets.files import write_file
from fcnserve_client.datasets.json_writer import Json, JsonWriter
from fcnserve_client.datasets.writer import Entry
from fcnserve_client.label_maps import Labels, encoded_png
from fcnserve_client.segmentation import ClassArea, Segmentation


class PanopticWriter(JsonWriter):
    """Writes the panoptic form of COCO."""

    last = (".fcnserve-parts/panoptic", ".json")
    file = "panoptic.json"
    of_category: ClassVar = {"supercategory": "", "isthing": 0}
    are_numbered = False

    def _annotations_of(self, entry: Entry, seg: Segmentation) -> list[Json]:
        background = self.model.background_id
        areas = [each for each in seg.classes.values() if each.class_id != background]
        file = f"{entry.stem}.png"
        png = _numbered_png(seg.labels, [each.class_id for each in areas])
        write_file(self.folder / "panoptic" / file, png)
        return [{"file_name": file, "segments_info": [_segment(each) for each in areas]}]


def _segment(area: ClassArea) -> Json:
    return {
        "id": area.class_id + 1,
        "category_id": area.class_id,
        "area": area.pixels,
        "bbox": list(area.bbox),
        "iscrowd": 0,
    }


def _numbered_png(labels: Labels, classes: Sequence[int]) -> bytes:
    numbers = np.zeros(256, np.uint8)
    numbers[list(classes)] = [each + 1 for each in classes]
    colours = np.zeros((*labels.shape, 3), np.uint8)
    colours[..., 0] = numbers[labels]
    return encoded_png(Image.fromarray(colours))
