"""The key of an overlay: which colour is which class, written into the picture's corner.

The picture keeps its size; text grows with it. What does not fit is left out, the smallest classes
first. Called by `service.render.overlay`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# a line of text is so much of the shorter side, within bounds in pixels
LINE_SHARE, LEAST_LINE, MOST_LINE = 1 / 18, 12, 120
PANEL = (0, 0, 0, 160)  # dark and half transparent: light text is read on any photo
INK = (255, 255, 255, 255)
MOST_LETTERS = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the key: its words, and the RGB of its swatch."""

    text: str
    colour: tuple[int, int, int]


def draw_legend(pixels: NDArray[np.uint8], entries: Sequence[Entry]) -> NDArray[np.uint8]:
    """Draw as many entries as there is room for on a photo (H, W, 3), at the lower left."""
    height, width = pixels.shape[:2]
    line = int(min(max(LINE_SHARE * min(height, width), LEAST_LINE), MOST_LINE))
    shown = entries[: (height - line) // line]
    if not shown:
        return pixels
    panel = _panel(shown, line)
    panel = panel.crop((0, 0, min(panel.width, width), min(panel.height, height)))
    image = Image.fromarray(pixels)
    image.paste(panel, (0, height - panel.height), panel)
    return np.asarray(image)


def _panel(entries: Sequence[Entry], line: int) -> Image.Image:
    font = ImageFont.load_default(0.72 * line)
    words = [_short(entry.text) for entry in entries]
    longest = max(font.getlength(text) for text in words)
    size = int(2.5 * line + longest), (len(entries) + 1) * line
    panel = Image.new("RGBA", size, PANEL)
    draw = ImageDraw.Draw(panel)
    for place, entry in enumerate(entries):
        top = (place + 0.5) * line
        swatch = (0.5 * line, top + 0.1 * line, 1.3 * line, top + 0.9 * line)
        draw.rectangle(swatch, (*entry.colour, 255))
        draw.text((1.7 * line, top + 0.5 * line), words[place], INK, font, anchor="lm")
    return panel


def _short(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 3]}..."
