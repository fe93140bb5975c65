"""Palette masks as in PASCAL VOC: photos and results in, the folders of `fcnserve model train` out.

    images/NAME.jpg
    masks/NAME.png      class ids with the model's palette; 255 is void
    classes.txt         a name a line, class 0 first

One of the writers in `fcnserve_client.datasets`.
"""

from fcnserve_client.datasets.files import write_file
from fcnserve_client.datasets.writer import DatasetWriter, Entry
from fcnserve_client.label_maps import encoded_png, indexed_image
from fcnserve_client.model import VOID, VOID_COLOUR
from fcnserve_client.segmentation import Segmentation


class VocWriter(DatasetWriter):
    """Writes a data set for training; predictions become training data."""

    last = ("masks", ".png")
    is_flat = True

    def _write_classes(self) -> None:
        names = "".join(f"{name}\n" for name in self.model.classes)
        write_file(self.folder / "classes.txt", names.encode())

    def _write(self, entry: Entry, seg: Segmentation) -> None:
        colours = [*self.model.palette]
        colours += [(0, 0, 0)] * (VOID - len(colours)) + [VOID_COLOUR]
        image = indexed_image(seg.labels, self.model)
        image.putpalette([channel for colour in colours for channel in colour])
        write_file(self._last_file(entry.stem), encoded_png(image))
