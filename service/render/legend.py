"""The legend of an overlay: which colour is which class, drawn into the picture's corner.

Pixels and entries come in, pixels go out. The picture keeps its size; text grows with it. Entries
that do not fit are left out, the smallest classes first. Called by `service.render.overlay`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# the height of a line of text: a share of the shorter side, within bounds in pixels
LINE_SHARE, MIN_LINE, MAX_LINE = 1 / 18, 12, 120
PANEL_RGBA = (0, 0, 0, 160)  # dark and half transparent: light text is legible on any photo
TEXT_RGBA = (255, 255, 255, 255)
MAX_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the legend: its text, and the RGB of its swatch."""

    text: str
    colour: tuple[int, int, int]


def draw_legend(pixels: NDArray[np.uint8], entries: Sequence[Entry]) -> NDArray[np.uint8]:
    """Draw as many entries as fit on a photo (H, W, 3), at the lower left."""
    height, width = pixels.shape[:2]
    line = int(min(max(LINE_SHARE * min(height, width), MIN_LINE), MAX_LINE))
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
    texts = [_shortened(entry.text) for entry in entries]
    longest = max(font.getlength(text) for text in texts)
    size = int(2.5 * line + longest), (len(entries) + 1) * line
    panel = Image.new("RGBA", size, PANEL_RGBA)
    draw = ImageDraw.Draw(panel)
    for row, entry in enumerate(entries):
        top = (row + 0.5) * line
        swatch = (0.5 * line, top + 0.1 * line, 1.3 * line, top + 0.9 * line)
        draw.rectangle(swatch, (*entry.colour, 255))
        draw.text((1.7 * line, top + 0.5 * line), texts[row], TEXT_RGBA, font, anchor="lm")
    return panel


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 3]}..."
