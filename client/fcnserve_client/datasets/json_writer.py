"""What both forms of COCO have in common: one JSON file about all photos.

In: what a form has of a photo. Out: a small file a photo, from which `finish` writes the JSON
file. Base of the writers in `fcnserve_client.datasets.coco` and
`fcnserve_client.datasets.panoptic`.
"""

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, ClassVar

from fcnserve_client.datasets.files import write_file, write_json
from fcnserve_client.datasets.writer import DatasetWriter, Entry
from fcnserve_client.segmentation import Segmentation

Json = dict[str, Any]


class JsonWriter(DatasetWriter):
    """Writes `images` and `annotations`, numbered from 1 in the order of the names."""

    file: ClassVar[str]
    """The name of the JSON file."""
    of_category: ClassVar[Mapping[str, Any]]
    """Members of each category beside its id and name."""
    are_numbered: ClassVar[bool]
    """Whether annotations have ids."""

    @abstractmethod
    def _annotations_of(self, entry: Entry, seg: Segmentation) -> list[Json]:
        """Return a photo's annotations, without their ids and that of the photo."""

    def _write(self, entry: Entry, seg: Segmentation) -> None:
        height, width = seg.size
        part = {
            "image": {"file_name": entry.photo, "width": width, "height": height},
            "annotations": self._annotations_of(entry, seg),
        }
        write_file(self._last_file(entry.stem), json.dumps(part).encode())

    def _write_all(self, stems: Sequence[str]) -> None:
        lists = {"images": self._images(stems), "annotations": self._annotations(stems)}
        write_json(self.folder / self.file, self._head(), lists)

    def _head(self) -> Json:
        categories = [
            {"id": number, "name": name, **self.of_category}
            for number, name in enumerate(self.model.classes)
            if number != self.model.background_id
        ]
        description = f"Predictions of {self.model.tag}, made with fcnserve"
        return {"info": {"description": description}, "licenses": [], "categories": categories}

    def _images(self, stems: Sequence[str]) -> Iterator[Json]:
        for number, part in self._parts(stems):
            yield {"id": number, **part["image"]}

    def _annotations(self, stems: Sequence[str]) -> Iterator[Json]:
        numbers = count(1)
        for image, part in self._parts(stems):
            for annotation in part["annotations"]:
                number = {"id": next(numbers)} if self.are_numbered else {}
                yield number | {"image_id": image} | annotation

    def _parts(self, stems: Sequence[str]) -> Iterator[tuple[int, Json]]:
        for number, stem in enumerate(stems, 1):
            yield number, json.loads(self._last_file(stem).read_bytes())
