"""A contact sheet: photo, truth and prediction side by side, from the best photo to the worst.

Above each three are the photo's name and its IoU by class; the last lines tell the colours.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from handlers.shared.photo import Pixels
from model_store.tools.dataset.labelled import VOID, Labels, Legend, Pair, read_labels, read_photo
from model_store.tools.dataset.mask_file import VOID_COLOUR
from model_store.tools.evaluate.confusion import Counts
from model_store.tools.evaluate.scores import Floats, ious, mean

SHEET_FILE = "sheet.png"
# photos on a sheet, and how many of them go into a row
PHOTOS, COLUMNS = 24, 2
# a picture's largest sides, a line of text, and what is left free around a photo's three pictures
TILE, LINE, GAP = 200, 18, 14
HEADINGS = ("photo", "truth", "prediction")
WIDTH = COLUMNS * len(HEADINGS) * TILE + (COLUMNS - 1) * GAP
INK, PAPER, MORE = "black", "white", " ..."


@dataclass(frozen=True, slots=True)
class Sheet:
    """Keeps predicted labels in memory, one byte a pixel, until it is known which are shown."""

    pairs: Sequence[Pair]
    legend: Legend
    _labels: dict[int, Labels] = field(default_factory=dict)

    def keep(self, place: int, labels: Labels) -> None:
        """Remember what was predicted first."""
        self._labels.setdefault(place, labels.copy())

    def draw(self, counts: Counts, out: Path) -> None:
        by_class = ious(counts.astype(np.float64))
        scores = mean(by_class)
        order = np.argsort(-np.nan_to_num(scores), kind="stable")
        chosen = order[np.linspace(0, len(order) - 1, min(PHOTOS, len(order))).round().astype(int)]
        tiles = [
            self._tile(place, caption(self.pairs[place].name, self.legend, by_class[place]))
            for place in chosen.tolist()
        ]
        rows = [beside(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
        known = counts[chosen].sum(0)  # of each class, what it is and what it was called
        shown = np.flatnonzero(known.sum(0) + known.sum(1)).tolist()
        below([headings(), *rows, *colour_lines(self.legend, shown)]).save(out / SHEET_FILE)

    def _tile(self, place: int, words: str) -> Image.Image:
        """A line of words, and below it photo, truth and prediction."""
        pair = self.pairs[place]
        pictures = [
            Image.fromarray(each)
            for each in (
                read_photo(pair.photo),
                self._coloured(read_labels(pair.mask, self.legend)),
                self._coloured(self._labels[place]),
            )
        ]
        for picture in pictures:
            picture.thumbnail((TILE - 4, TILE - 4))
        tile = blank(len(HEADINGS) * TILE, LINE + max(each.height for each in pictures) + GAP)
        write(tile, 0, cut(words, tile.width))
        for number, picture in enumerate(pictures):
            tile.paste(picture, (number * TILE, LINE))
        return tile

    def _coloured(self, labels: Labels) -> Pixels:
        return palette(self.legend)[labels]


def caption(name: str, legend: Legend, by_class: Floats) -> str:
    """Write a photo's name, the mean over the classes that it shows, and the IoU of each."""
    known = np.flatnonzero(~np.isnan(by_class)).tolist()
    if not known:
        return f"{name}: void alone"
    each = ", ".join(f"{legend.classes[place]} {by_class[place]:.2f}" for place in known)
    return f"{name}: mean IoU {by_class[known].mean():.2f} ({each})"


def cut(words: str, width: int) -> str:
    """Shorten a line to what there is room for, in pixels."""
    if font().getlength(words) <= width - GAP:
        return words
    while words and font().getlength(words + MORE) > width - GAP:
        words = words[:-1]
    return words + MORE


def headings() -> Image.Image:
    """Say once what is in each column of pictures."""
    tile = blank(len(HEADINGS) * TILE, LINE)
    for number, words in enumerate(HEADINGS):
        write(tile, number * TILE, words)
    return beside([tile] * COLUMNS)


def colour_lines(legend: Legend, shown: Iterable[int]) -> Iterator[Image.Image]:
    """Name the colours that are on the sheet, in as many lines as it takes."""
    entries = [(legend.classes[place], legend.palette[place]) for place in shown]
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


def beside(images: Sequence[Image.Image]) -> Image.Image:
    row = blank(WIDTH, max(each.height for each in images))
    for number, image in enumerate(images):
        row.paste(image, (number * (len(HEADINGS) * TILE + GAP), 0))
    return row


def below(images: Sequence[Image.Image]) -> Image.Image:
    sheet, down = blank(WIDTH, sum(each.height for each in images)), 0
    for image in images:
        sheet.paste(image, (0, down))
        down += image.height
    return sheet


def blank(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), PAPER)


def write(image: Image.Image, left: int, words: str) -> None:
    ImageDraw.Draw(image).text((left + 2, 2), words, INK, font())


def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)


def palette(legend: Legend) -> NDArray[np.uint8]:
    """Give each label its colour: (256, 3)."""
    colours = np.full((VOID + 1, 3), VOID_COLOUR, np.uint8)
    colours[: len(legend.palette)] = legend.palette
    return colours
