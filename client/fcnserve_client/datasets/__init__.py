"""Datasets of segmented photos, in the formats that other tools read.

    CocoWriter        annotations.json: a mask a region, with box, area and score; pycocotools
    PanopticWriter    panoptic.json and PNGs whose colours number the classes; COCO's panoptic form
    VocWriter         palette masks, 255 for void; `fcnserve model train` and mmsegmentation
    YoloWriter        data.yaml and a text file of polygons a photo; Ultralytics
    CityscapesWriter  labelIds PNGs and a table of the classes; torchvision

```python
from fcnserve_client.datasets import CocoWriter

with Client() as client, CocoWriter("pets", client.models()[0]) as dataset:
    for path, seg in client.segment_many(paths):
        dataset.add(path.name, seg)
```

Each has the photos in a folder of their own. Called by programs, and by `service.client.dataset`
for `fcnserve segment --format`.
"""

from fcnserve_client.datasets.cityscapes import CityscapesWriter
from fcnserve_client.datasets.coco import CocoWriter
from fcnserve_client.datasets.panoptic import PanopticWriter
from fcnserve_client.datasets.voc import VocWriter
from fcnserve_client.datasets.writer import DatasetWriter
from fcnserve_client.datasets.yolo import YoloWriter

FORMATS: dict[str, type[DatasetWriter]] = {
    "coco": CocoWriter,
    "panoptic": PanopticWriter,
    "voc": VocWriter,
    "yolo": YoloWriter,
    "cityscapes": CityscapesWriter,
}

__all__ = [
    "FORMATS",
    "CityscapesWriter",
    "CocoWriter",
    "DatasetWriter",
    "PanopticWriter",
    "VocWriter",
    "YoloWriter",
]
