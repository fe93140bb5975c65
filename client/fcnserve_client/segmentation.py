"""The result of one photo: what the server answered, and everything that follows from it offline.

In: a label map (the PNG of an answer, or an array) and the model's card. Out: masks, confidences,
polygons, COCO annotations, overlays. Needs no HTTP: programs that run the network themselves make
it from arrays.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcnserve_client import coco
from fcnserve_client.label_maps import Labels, Levels, encoded_png, indexed_image, read_png
from fcnserve_client.model import VOID, Model
from fcnserve_client.overlay import paint
from fcnserve_client.photos import Orientation, pixels_of
from fcnserve_client.polygons import Polygon, find_polygons

if TYPE_CHECKING:
    import supervision

ClassName = str | int
"""A class by its name or its id."""


class MissingPartError(ValueError):
    """What was asked of a result needs a part that it was made without."""


@dataclass(frozen=True, slots=True)
class ClassArea:
    """A class that is present: its pixels, their share of the photo (0 to 1), and its bounding box
    (x, y, width, height) in pixels.
    """

    class_id: int
    name: str
    pixels: int
    share: float
    bbox: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """The label map of a photo, of the photo's own size.

    `labels` (H, W) uint8 are class ids of `model` (`model.filtered_id` where a filter removed a
    class). `levels` (H, W) uint8 is the probability, times 255, of the class that the model
    predicted there; None where it was not asked for. `photo` are the bytes that were segmented,
    `timing` the milliseconds of each stage, and `request_id` names the request in the server's
    logs; without a server, they are empty.
    """

    labels: Labels
    model: Model
    levels: Levels | None = None
    photo: bytes | None = None
    orientation: Orientation = "exif"
    timing: Mapping[str, float] = field(default_factory=dict)
    request_id: str = ""

    @classmethod
    def from_png(
        cls,
        png: bytes,
        model: Model | Mapping[str, Any],
        *,
        photo: bytes | None = None,
        orientation: Orientation = "exif",
        timing: Mapping[str, float] | None = None,
        request_id: str = "",
    ) -> "Segmentation":
        """Read the PNG of `output=mask`, `labels` or `confidence`. Raises ValueError."""
        labels, levels = read_png(png)
        known = model if isinstance(model, Model) else Model.from_card(model)
        made = cls(labels, known, levels, photo, orientation, timing or {}, request_id)
        made.__dict__["png"] = png  # the cached property: the server's own bytes
        return made

    @cached_property
    def png(self) -> bytes:
        """The label map as a file: the server's bytes; made here, an indexed PNG."""
        return encoded_png(self.to_image())

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """The probability, 0 to 1, of the class that the model predicted at each pixel, (H, W).

        Raises MissingPartError for a result that was requested with `confidence=False`.
        """
        if self.levels is None:
            raise MissingPartError("this result has no confidences; ask with confidence=True")
        return self.levels.astype(np.float32) / np.float32(255)

    @cached_property
    def classes(self) -> dict[str, ClassArea]:
        """The classes that are present, by name, in the order of their ids; background too, but not
        VOID, the filtered pixels of a model without one.
        """
        counts = Image.fromarray(self.labels).histogram()
        present = [class_id for class_id in range(VOID) if counts[class_id]]
        areas = [self._area(class_id, counts[class_id]) for class_id in present]
        return {area.name: area for area in areas}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of photo and label map, in pixels."""
        return self.labels.shape[0], self.labels.shape[1]

    def mask(self, which: ClassName, min_confidence: float = 0.0) -> NDArray[np.bool_]:
        """Return where a class is, (H, W); with `min_confidence`, where it is that probable.

        Raises UnknownClassError for a class that the model does not have.
        """
        found: NDArray[np.bool_] = self.labels == self.model.class_id(which)
        return found & (self.confidence >= min_confidence) if min_confidence else found

    def polygons(self, classes: Sequence[ClassName] | None = None) -> list[Polygon]:
        """Return a polygon per connected region, with holes; of all classes but background, unless
        `classes` names others.
        """
        return find_polygons(self.labels, self._shown(classes), self.model)

    def to_geojson(self, classes: Sequence[ClassName] | None = None) -> dict[str, Any]:
        """Return the polygons as a GeoJSON FeatureCollection, equal to `output=polygons`."""
        features = [polygon.to_geojson() for polygon in self.polygons(classes)]
        return {"type": "FeatureCollection", "features": features}

    def to_coco(
        self, image_id: int, classes: Sequence[ClassName] | None = None, first_id: int = 1
    ) -> list[dict[str, Any]]:
        """Return COCO annotations, one a class, numbered from `first_id`; `json` writes them.

        `category_id` is the class id; masks are run-length encoded, as `pycocotools` reads them.
        """
        shown = [self.classes[self.model.class_name(each)] for each in self._shown(classes)]
        return [
            {
                "id": number,
                "image_id": image_id,
                "category_id": area.class_id,
                "segmentation": coco.encode(self.labels == area.class_id),
                "area": area.pixels,
                "bbox": list(area.bbox),
                "iscrowd": 0,
            }
            for number, area in enumerate(shown, first_id)
        ]

    def to_supervision(
        self, classes: Sequence[ClassName] | None = None
    ) -> "supervision.Detections":
        """Return `supervision.Detections`, one a class, with masks and, where there are
        confidences, their mean over the class. Raises ImportError where that is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise ImportError("to_supervision needs it: pip install supervision") from error
        shown = self._shown(classes)
        masks = np.array([self.labels == each for each in shown], np.bool_).reshape(-1, *self.size)
        boxes = [self.classes[self.model.class_name(each)].bbox for each in shown]
        corners = [(x, y, x + width, y + height) for x, y, width, height in boxes]
        means = [float(self.confidence[mask].mean()) for mask in masks] if self.has_levels else None
        return supervision.Detections(
            xyxy=np.array(corners, np.float32).reshape(-1, 4),
            mask=masks,
            confidence=None if means is None else np.array(means, np.float32),
            class_id=np.array(shown, np.int64),
            data={"class_name": np.array([self.model.class_name(each) for each in shown])},
        )

    @property
    def has_levels(self) -> bool:
        """Whether this result has confidences."""
        return self.levels is not None

    def to_image(self) -> Image.Image:
        """Return the label map as a Pillow image of mode P, with the model's palette."""
        return indexed_image(self.labels, self.model)

    def overlay(
        self, *, alpha: float = 0.5, classes: Sequence[ClassName] | None = None
    ) -> Image.Image:
        """Return the photo with its classes in bright colours, outlined, as the server draws it.

        `alpha` is the opacity of the colours, 0 to 1. Raises MissingPartError without a photo.
        """
        if self.photo is None:
            raise MissingPartError("this result was made without its photo; give photo=")
        pixels = pixels_of(self.photo, self.orientation)
        shown = self._shown(classes)
        painted = paint(pixels, self.labels, self.model.overlay_palette, shown, alpha)
        return Image.fromarray(painted)

    def _repr_jpeg_(self) -> bytes | None:
        """Return the overlay, which a notebook shows: as JPEG, a tenth of a PNG's bytes."""
        if self.photo is None:
            return None
        file = io.BytesIO()
        self.overlay().save(file, "JPEG")
        return file.getvalue()

    def _repr_png_(self) -> bytes | None:
        """Return the mask, which a notebook shows where there is no photo to paint."""
        return encoded_png(self.to_image()) if self.photo is None else None

    def __repr__(self) -> str:
        height, width = self.size
        shares = ", ".join(f"{each.name} {each.share:.1%}" for each in self.classes.values())
        return f"<Segmentation {width}x{height} by {self.model.name}: {shares}>"

    def _shown(self, classes: Sequence[ClassName] | None) -> list[int]:
        """Return the ids of the classes that are present and asked for, ascending."""
        present = [area.class_id for area in self.classes.values()]
        if classes is None:
            return [each for each in present if each != self.model.background_id]
        names = [classes] if isinstance(classes, str) else classes
        chosen = {self.model.class_id(each) for each in names}
        return [each for each in present if each in chosen]

    def _area(self, class_id: int, pixels: int) -> ClassArea:
        mask = self.labels == class_id
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y = int(columns[0]), int(rows[0])
        box = (x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)
        name = self.model.class_name(class_id)
        return ClassArea(class_id, name, pixels, pixels / self.labels.size, box)
