"""Id masks as in Cityscapes: photos and results in, its folders out, as torchvision reads them.

    leftImg8bit/train/photos/NAME_leftImg8bit.jpg
    gtFine/train/photos/NAME_gtFine_labelIds.png    grey: class ids of the model, 255 for void
    classes.csv                                     id, name, red, green, blue

The ids are those of the model, not of Cityscapes. One of the writers in `fcnserve_client.datasets`.
"""

import csv
import io

from PIL import Image

from fcnserve_client.datasets.files import write_file
from fcnserve_client.datasets.writer import DatasetWriter, Entry
from fcnserve_client.label_maps import encoded_png
from fcnserve_client.model import VOID, VOID_COLOUR
from fcnserve_client.segmentation import Segmentation


class CityscapesWriter(DatasetWriter):
    """Writes id masks, and the table of their classes."""

    last = ("gtFine/train/photos", "_gtFine_labelIds.png")
    photos = ("leftImg8bit/train/photos", "_leftImg8bit")
    is_flat = True

    def _write_classes(self) -> None:
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(("id", "name", "red", "green", "blue"))
        classes = zip(self.model.classes, self.model.palette, strict=True)
        rows.writerows((number, name, *colour) for number, (name, colour) in enumerate(classes))
        rows.writerow((VOID, "void", *VOID_COLOUR))
        write_file(self.folder / "classes.csv", table.getvalue().encode())

    def _write(self, entry: Entry, seg: Segmentation) -> None:
        write_file(self._last_file(entry.stem), encoded_png(Image.fromarray(seg.labels)))
