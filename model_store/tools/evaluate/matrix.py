"""Counts in, the confusion matrix as a picture out: a true class a row, a predicted one a column.

Called by `model_store.tools.evaluate.run`.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model_store.tools.dataset.labelled import Legend
from model_store.tools.evaluate.confusion import Counts

MATRIX_FILE = "confusion.png"
CELL, MARGIN = 34, 110
# the colours of 0 % and 100 % of a row
PALE, DEEP = np.array((255, 255, 255)), np.array((8, 64, 129))
# parts of a row: the least that is written as a number, and the least that is written in white
MIN_WRITTEN, DARK = 0.005, 0.5


def draw_matrix(counts: Counts, legend: Legend, out: Path) -> None:
    """Draw the part of each class's pixels (rows) by predicted class (columns), in per cent."""
    parts = counts / counts.sum(1, keepdims=True).clip(1)
    side = MARGIN + CELL * len(parts)
    image = Image.new("RGB", (side, side), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for (row, column), part in np.ndenumerate(parts):
        left, top = MARGIN + CELL * column, MARGIN + CELL * row
        ink = tuple(int(each) for each in PALE + (DEEP - PALE) * part)
        draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), ink)
        if part >= MIN_WRITTEN:
            middle = (left + CELL // 2, top + CELL // 2)
            draw.text(middle, f"{100 * part:.0f}", "white" if part > DARK else "black", font, "mm")
    for number, name in enumerate(legend.classes):
        offset = MARGIN + CELL * number + CELL // 2
        draw.text((MARGIN - 6, offset), name, "black", font, "rm")
        image.paste(upright(name, font), (offset - 8, 0))
    image.save(out / MATRIX_FILE)


def upright(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    """Write a name vertically, to be read from below."""
    strip = Image.new("RGB", (MARGIN - 6, 16), "white")
    ImageDraw.Draw(strip).text((0, 8), name, "black", font, "lm")
    return strip.rotate(90, expand=True)
