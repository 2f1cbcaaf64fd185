"""Scales, ticks, colours, and a canvas: the little that a picture needs of a plotting library.

Pillow draws it (7 MB, wheels for every Raspberry Pi); matplotlib would do the same with 60 MB of
packages and seconds of imports.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from heimdall_edge.types import Float64

Colour = tuple[int, int, int]
INK, FAINT, GRID, PAPER = (28, 30, 36), (104, 108, 118), (226, 228, 233), (255, 255, 255)
_STOPS = np.array(
    [[6, 9, 26], [28, 33, 104], [98, 28, 136], [192, 50, 104], [243, 124, 48], [255, 238, 150]]
)
"""Dark to bright: the luminance rises all the way, so that it prints in grey too."""
SHADES = 96
"""No eye sees more of them, and a PNG of noise is smaller by half."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Values along a stretch of pixels."""

    low: float
    high: float
    at_low: float
    at_high: float

    def at(self, value: float) -> float:
        """Where a value lies; outside values lie outside."""
        share = (value - self.low) / (self.high - self.low)
        return self.at_low + share * (self.at_high - self.at_low)

    def ticks(self, *, about: int) -> list[float]:
        """Round values within it, about so many: steps of 1, 2 or 5 times a power of ten."""
        raw = (self.high - self.low) / max(1, about)
        power = 10.0 ** math.floor(math.log10(raw))
        step = min((m * power for m in (1, 2, 5, 10)), key=lambda s: abs(math.log(s / raw)))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [n * step for n in range(first, last + 1)]


def tick_label(value: float, ticks: list[float]) -> str:
    """With as many decimals as tell neighbours apart."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{decimals}f}"


def coloured(share: Float64) -> NDArray[np.uint8]:
    """uint8 [..., 3]: the colour of a share 0…1; NaN, which is nothing received, is grey."""
    stops = np.linspace(0.0, 1.0, len(_STOPS))
    within = np.rint(np.clip(np.nan_to_num(share), 0.0, 1.0) * (SHADES - 1)) / (SHADES - 1)
    rgb = np.stack([np.interp(within, stops, _STOPS[:, c]) for c in range(3)], axis=-1)
    rgb[np.isnan(share)] = (150, 150, 150)
    return rgb.astype(np.uint8)


class Canvas:
    """A picture under way; positions are pixels from the upper left."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self._image = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self._image)
        self._fonts = {size: ImageFont.load_default(size) for size in (11, 12, 13, 16)}

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 12,
        colour: Colour = INK,
        anchor: Literal["la", "ra", "ma", "lm", "rm", "mm", "ms"] = "la",
    ) -> None:
        """Text by its left, middle or right, and its ascender, middle or baseline."""
        self._draw.text((x, y), text, fill=colour, font=self._fonts[size], anchor=anchor)

    def text_width(self, text: str, *, size: int = 12) -> float:
        return float(self._draw.textlength(text, font=self._fonts[size]))

    def line(self, points: list[tuple[float, float]], colour: Colour, width: int = 1) -> None:
        self._draw.line(points, fill=colour, width=width)

    def box(
        self, corners: tuple[float, float, float, float], colour: Colour, width: int = 1
    ) -> None:
        """An outline: left, top, right, bottom."""
        self._draw.rectangle(corners, outline=colour, width=width)

    def fill(self, corners: tuple[float, float, float, float], colour: Colour) -> None:
        self._draw.rectangle(corners, fill=colour)

    def paste(self, rgb: NDArray[np.uint8], corners: tuple[int, int, int, int]) -> None:
        """Colours [rows, columns, 3], stretched over left, top, right, bottom."""
        left, top, right, bottom = corners
        shrunk = Image.Resampling.BOX if len(rgb) >= bottom - top else Image.Resampling.NEAREST
        stretched = Image.fromarray(rgb).resize((right - left, bottom - top), shrunk)
        self._image.paste(stretched, (left, top))

    def save(self, path: Path) -> None:
        """As PNG; OSError where the disk does not take it."""
        self._image.save(path, format="PNG")
