"""COCO's instance form: photos and results in, `annotations.json` and the photos out.

    images/NAME.jpg
    annotations.json    file names are those below images/

One annotation a connected region: a semantic network does not separate objects that touch. Masks
are run-length encoded, exact with holes; `score` is the mean confidence. One of the writers in
`fcnserve_client.datasets`.
"""

from typing import ClassVar

from fcnserve_client.coco import text
from fcnserve_client.datasets.json_writer import Json, JsonWriter
from fcnserve_client.datasets.regions import RegionRuns, region_runs
from fcnserve_client.datasets.writer import Entry
from fcnserve_client.segmentation import Segmentation


class CocoWriter(JsonWriter):
    """Writes the instance form of COCO."""

    last = (".fcnserve-parts/coco", ".json")
    file = "annotations.json"
    of_category: ClassVar = {"supercategory": ""}
    are_numbered = True
    needs_confidence = True

    def _annotations_of(self, entry: Entry, seg: Segmentation) -> list[Json]:  # noqa: ARG002
        return [_annotation(region, seg.size) for region in region_runs(seg)]


def _annotation(region: RegionRuns, size: tuple[int, int]) -> Json:
    lengths = region.run_lengths(size[0] * size[1])
    made = {
        "category_id": region.class_id,
        "segmentation": {"size": list(size), "counts": text(lengths)},
        "area": region.area,
        "bbox": list(region.bbox),
        "iscrowd": 0,
    }
    return made if region.score is None else {**made, "score": region.score}
