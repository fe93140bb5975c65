"""A contact sheet: photo, truth and mask side by side, from the best photo to the worst."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from handlers.photo import Pixels
from model_store.evaluate.confusion import Counts
from model_store.evaluate.scores import ious, mean
from model_store.labelled import VOID, VOID_COLOUR, Labels, Legend, Pair, read_labels, read_photo

SHEET_FILE = "sheet.png"
# photos on a sheet, and how many of them go into a row
PHOTOS, COLUMNS = 24, 2
# a picture's largest sides, and the line of text below it
TILE, TEXT = 200, 18


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
        scores = mean(ious(counts.astype(np.float64)))
        order = np.argsort(-np.nan_to_num(scores), kind="stable")
        chosen = order[np.linspace(0, len(order) - 1, min(PHOTOS, len(order))).round().astype(int)]
        rows = -(-len(chosen) // COLUMNS)
        sheet = Image.new("RGB", (COLUMNS * 3 * TILE, rows * (TILE + TEXT)), "white")
        for number, place in enumerate(chosen.tolist()):
            down, right = divmod(number, COLUMNS)
            tile = self._tile(place, float(scores[place]))
            sheet.paste(tile, (right * 3 * TILE, down * (TILE + TEXT)))
        sheet.save(out / SHEET_FILE)

    def _tile(self, place: int, score: float) -> Image.Image:
        """Photo, truth and mask of one photo, above its name and its mean IoU."""
        pair = self.pairs[place]
        tile = Image.new("RGB", (3 * TILE, TILE + TEXT), "white")
        truth = read_labels(pair.mask, self.legend)
        pictures = (
            read_photo(pair.photo),
            self._coloured(truth),
            self._coloured(self._labels[place]),
        )
        for number, picture in enumerate(pictures):
            image = Image.fromarray(picture)
            image.thumbnail((TILE - 4, TILE - 2))
            tile.paste(image, (number * TILE, 0))
        text = f"{pair.name}  mean IoU {score:.2f}"
        ImageDraw.Draw(tile).text((2, TILE), text, "black", ImageFont.load_default(12))
        return tile

    def _coloured(self, labels: Labels) -> Pixels:
        return palette(self.legend)[labels]


def palette(legend: Legend) -> NDArray[np.uint8]:
    """Give each label its colour: (256, 3)."""
    colours = np.full((VOID + 1, 3), VOID_COLOUR, np.uint8)
    colours[: len(legend.palette)] = legend.palette
    return colours
