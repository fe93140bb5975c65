"""A contact sheet: photo, truth and prediction side by side, from the best photo to the worst.

A title above each three has the photo's name and its IoU by class; the last lines are the legend.
Called by `model_store.tools.evaluate.run`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from handlers.shared.photo import Pixels
from model_store.tools.dataset.labelled import VOID, Labels, Legend, read_labels, read_photo
from model_store.tools.dataset.mask_file import VOID_COLOUR
from model_store.tools.dataset.pairs import Pair
from model_store.tools.evaluate.confusion import Counts
from model_store.tools.evaluate.scores import Floats, ious, mean

SHEET_FILE = "sheet.png"
# photos on a sheet, and in a row
PHOTOS, COLUMNS = 24, 2
# pixels: a picture's largest sides, a line of text, and the margin around a photo's three pictures
TILE, LINE, GAP = 200, 18, 14
HEADINGS = ("photo", "truth", "prediction")
WIDTH = COLUMNS * len(HEADINGS) * TILE + (COLUMNS - 1) * GAP
INK, PAPER, MORE = "black", "white", " ..."


@dataclass(frozen=True, slots=True)
class Sheet:
    """Keeps predicted labels, one byte a pixel, until the photos to show are selected."""

    pairs: Sequence[Pair]
    legend: Legend
    _labels: dict[int, Labels] = field(default_factory=dict)

    def keep(self, number: int, labels: Labels) -> None:
        """Keep the labels of a photo; of several sizes, the first."""
        self._labels.setdefault(number, labels.copy())

    def draw(self, counts: Counts, out: Path) -> None:
        """Write the sheet of photos spread evenly over the scores: (photos, classes, classes)."""
        by_class = ious(counts.astype(np.float64))
        scores = mean(by_class)
        order = np.argsort(-np.nan_to_num(scores), kind="stable")
        spread = np.linspace(0, len(order) - 1, min(PHOTOS, len(order))).round().astype(int)
        selected = order[spread]
        tiles = [
            self._tile(number, caption(self.pairs[number].name, self.legend, by_class[number]))
            for number in selected.tolist()
        ]
        rows = [
            side_by_side(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)
        ]
        total = counts[selected].sum(0)  # (true classes, predicted classes)
        shown = np.flatnonzero(total.sum(0) + total.sum(1)).tolist()
        stacked([headings(), *rows, *legend_lines(self.legend, shown)]).save(out / SHEET_FILE)

    def _tile(self, number: int, title: str) -> Image.Image:
        """Draw the title, and below it photo, truth and prediction."""
        pair = self.pairs[number]
        pictures = [
            Image.fromarray(each)
            for each in (
                read_photo(pair.photo),
                self._coloured(read_labels(pair.mask, self.legend)),
                self._coloured(self._labels[number]),
            )
        ]
        for picture in pictures:
            picture.thumbnail((TILE - 4, TILE - 4))
        tile = blank(len(HEADINGS) * TILE, LINE + max(each.height for each in pictures) + GAP)
        write(tile, 0, truncated(title, tile.width))
        for column, picture in enumerate(pictures):
            tile.paste(picture, (column * TILE, LINE))
        return tile

    def _coloured(self, labels: Labels) -> Pixels:
        return palette(self.legend)[labels]


def caption(name: str, legend: Legend, by_class: Floats) -> str:
    """Write a photo's name, the mean IoU over the classes in it, and the IoU of each."""
    present = np.flatnonzero(~np.isnan(by_class)).tolist()
    if not present:
        return f"{name}: void alone"
    each = ", ".join(f"{legend.classes[number]} {by_class[number]:.2f}" for number in present)
    return f"{name}: mean IoU {by_class[present].mean():.2f} ({each})"


def truncated(text: str, width: int) -> str:
    """Shorten a line to a width in pixels."""
    if font().getlength(text) <= width - GAP:
        return text
    while text and font().getlength(text + MORE) > width - GAP:
        text = text[:-1]
    return text + MORE


def headings() -> Image.Image:
    """Write the headings of the columns of pictures."""
    tile = blank(len(HEADINGS) * TILE, LINE)
    for column, heading in enumerate(HEADINGS):
        write(tile, column * TILE, heading)
    return side_by_side([tile] * COLUMNS)


def legend_lines(legend: Legend, shown: Iterable[int]) -> Iterator[Image.Image]:
    """Name the colours that are on the sheet, in as many lines as necessary."""
    entries = [(legend.classes[number], legend.palette[number]) for number in shown]
    line, right = blank(WIDTH, LINE), 0
    for name, colour in [*entries, ("void: not scored", VOID_COLOUR)]:
        width = round(font().getlength(name)) + 2 * LINE + GAP
        if right + width > WIDTH:
            yield line
            line, right = blank(WIDTH, LINE), 0
        box = (right, 2, right + LINE, LINE - 2)
        ImageDraw.Draw(line).rectangle(box, colour, INK)
        write(line, right + LINE + 4, name)
        right += width
    yield line


def side_by_side(images: Sequence[Image.Image]) -> Image.Image:
    row = blank(WIDTH, max(each.height for each in images))
    for column, image in enumerate(images):
        row.paste(image, (column * (len(HEADINGS) * TILE + GAP), 0))
    return row


def stacked(images: Sequence[Image.Image]) -> Image.Image:
    sheet, top = blank(WIDTH, sum(each.height for each in images)), 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height
    return sheet


def blank(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), PAPER)


def write(image: Image.Image, left: int, text: str) -> None:
    ImageDraw.Draw(image).text((left + 2, 2), text, INK, font())


def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)


def palette(legend: Legend) -> NDArray[np.uint8]:
    """Give each label its colour: (256, 3)."""
    colours = np.full((VOID + 1, 3), VOID_COLOUR, np.uint8)
    colours[: len(legend.palette)] = legend.palette
    return colours
