"""The text form of YOLO's segmentation: photos and results in, polygons a line out.

    images/NAME.jpg
    labels/NAME.txt     a region a line: class x y x y ..., as shares of width and height
    data.yaml           names of the classes; background is none, so that numbers are not class ids

A line has one ring alone. A hole is joined to the outline by a cut of no width, there and back:
programs that fill the polygon leave the hole empty. One of the writers in
`fcnserve_client.datasets`.
"""

import json

from fcnserve_client.datasets.files import write_file
from fcnserve_client.datasets.rings import single_ring
from fcnserve_client.datasets.writer import DatasetWriter, Entry
from fcnserve_client.polygons import Polygon
from fcnserve_client.segmentation import Segmentation

DIGITS = 6
"""Decimals of a share: a 60th of a pixel of the largest photo."""


class YoloWriter(DatasetWriter):
    """Writes a dataset for training Ultralytics' networks; all photos are for training and for
    validation until `data.yaml` says otherwise.
    """

    last = ("labels", ".txt")
    is_flat = True

    def _write_classes(self) -> None:
        lines = ["path: .", "train: images", "val: images", "names:"]
        lines += [
            f"  {number}: {json.dumps(self.model.class_name(class_id))}"
            for class_id, number in self._numbers.items()
        ]
        write_file(self.folder / "data.yaml", ("\n".join(lines) + "\n").encode())

    @property
    def _numbers(self) -> dict[int, int]:
        """YOLO's numbers by class id."""
        background = self.model.background_id
        shown = [each for each in range(len(self.model.classes)) if each != background]
        return {class_id: number for number, class_id in enumerate(shown)}

    def _write(self, entry: Entry, seg: Segmentation) -> None:
        numbers = self._numbers
        lines = [
            f"{numbers[each.class_id]} {_coordinates(each, seg.size)}\n" for each in seg.polygons()
        ]
        write_file(self._last_file(entry.stem), "".join(lines).encode())


def _coordinates(polygon: Polygon, size: tuple[int, int]) -> str:
    height, width = size
    shares = (
        f"{round(x / width, DIGITS)} {round(y / height, DIGITS)}" for x, y in single_ring(polygon)
    )
    return " ".join(shares)
