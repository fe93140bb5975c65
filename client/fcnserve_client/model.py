"""The model card as a value: what the numbers of a label map mean, and their colours.

In: the card as the API gives it (`GET /v1/models/NAME`), a mapping. Out: `Model`. Called by
`fcnserve_client.segmentation`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Rgb = tuple[int, int, int]

VOID = 255
"""The label of pixels that a filter removed, in models without a background (as in PASCAL VOC)."""
VOID_COLOUR: Rgb = (224, 224, 192)


class UnknownClassError(ValueError):
    """A class name or id that the model does not have."""


@dataclass(frozen=True, slots=True)
class Model:
    """A served model.

    `classes` are names by class id; `palette` are the colours of a mask and `overlay_palette` those
    of an overlay, RGB by class id; `background_id` is the class of all that is none of the others,
    if there is one, and `filtered_id` the label of pixels whose class a filter removed. `digest`
    covers weights, code and numerics: same photo, options and digest, same bytes. `card` has all
    that the server says, such as limits and precision.
    """

    name: str
    digest: str
    classes: tuple[str, ...]
    background_id: int | None
    palette: tuple[Rgb, ...]
    overlay_palette: tuple[Rgb, ...]
    filtered_id: int
    version: str = ""
    card: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> "Model":
        """Read a card. Raises ValueError where it is none."""
        try:
            classes = _names(card["classes"])
            background = card.get("background_id", 0)
            if background is not None and background not in range(len(classes)):
                raise ValueError(f"background_id: {background!r}")
            palette = _palette(card["palette"], len(classes))
            overlay = card.get("overlay_palette")
            return cls(
                name=str(card["name"]),
                digest=str(card["digest"]),
                classes=classes,
                background_id=background,
                palette=palette,
                overlay_palette=_palette(overlay, len(classes)) if overlay else palette,
                filtered_id=VOID if background is None else background,
                version=str(card.get("version", "")),
                card=card,
            )
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ValueError(f"not the card of a model of fcnserve: {error!r}") from error

    @property
    def tag(self) -> str:
        """The value of `X-Model` in answers of this model: name@digest."""
        return f"{self.name}@{self.digest}"

    def class_id(self, which: str | int) -> int:
        """Return the id of a class, given by its name or id. Raises UnknownClassError."""
        if isinstance(which, str) and which in self.classes:
            return self.classes.index(which)
        if not isinstance(which, str) and 0 <= which < len(self.classes):
            return int(which)
        names = ", ".join(self.classes)
        raise UnknownClassError(
            f"{self.name} has no class {which!r}; it has {names} (ids 0 to {len(self.classes) - 1})"
        )

    def class_name(self, class_id: int) -> str:
        """Return the name of a class; the number itself where the card has no such class."""
        return self.classes[class_id] if 0 <= class_id < len(self.classes) else str(class_id)


def _names(classes: Any) -> tuple[str, ...]:
    if not isinstance(classes, list | tuple) or not 0 < len(classes) <= VOID:
        raise ValueError(f"classes: {classes!r}")
    return tuple(map(str, classes))


def _palette(colours: Any, classes: int) -> tuple[Rgb, ...]:
    """Read a colour for each class. Raises ValueError, TypeError and OverflowError."""
    read = [(int(red), int(green), int(blue)) for red, green, blue in colours]
    if len(read) != classes or not all(0 <= channel <= 255 for each in read for channel in each):  # noqa: PLR2004 - a byte
        raise ValueError(f"{len(read)} colours for {classes} classes, or one that is no RGB")
    return tuple(read)
