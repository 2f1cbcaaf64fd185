"""The survey as a picture: of each receiver its spectrum, and its waterfall with what was found.

::

    title, figures
       channel names
    ┌ spectrum: mean and peak, dBFS ─┐
    ├ waterfall: time runs down ─────┤ colours
    │   ┌─┐ a box a burst            │
    └── frequency, MHz ──────────────┘
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from heimdall_edge.survey.meter import Measured
from heimdall_edge.survey.plot import FAINT, GRID, INK, Canvas, Scale, coloured, tick_label
from heimdall_edge.survey.run import Surveyed
from heimdall_edge.types import NS_PER_S, Float64, Observation

WIDTH = 1_200
LEFT, RIGHT = 66, WIDTH - 104
TITLE_H, NAMES_H, SPECTRUM_H, AXIS_H, GAP_H = 44, 20, 84, 40, 22
WATERFALL_H, MANY_WATERFALL_H = 380, 190
"""Of one or two receivers, and of more."""
SPAN_DB = 45.0
"""From the darkest colour to the brightest."""
UNDER_FLOOR_DB = 5.0
BOX_H = 6
"""Shorter bursts get two marks instead of a box."""
BURST, CHANNEL, MEAN, PEAK = (90, 255, 220), (20, 120, 190), (28, 30, 36), (200, 140, 60)


def draw(found: Sequence[Surveyed], path: Path) -> None:
    """Write the picture, a panel a receiver (and centre); OSError as the disk says."""
    panels = [measured for surveyed in found for measured in surveyed.measured]
    waterfall_h = WATERFALL_H if len(panels) <= 2 else MANY_WATERFALL_H
    panel_h = TITLE_H + NAMES_H + SPECTRUM_H + waterfall_h + AXIS_H + GAP_H
    canvas = Canvas(WIDTH, max(1, len(panels)) * panel_h + GAP_H)
    for number, measured in enumerate(panels):
        _Panel(canvas, measured, GAP_H + number * panel_h, waterfall_h).draw()
    if not panels:
        canvas.text(LEFT, GAP_H, "no receiver gave samples", size=16)
    canvas.save(path)


class _Panel:
    """One receiver's part of the picture."""

    def __init__(self, canvas: Canvas, measured: Measured, top: int, waterfall_h: int) -> None:
        self._canvas, self._measured = canvas, measured
        self._top = top
        self._spectrum_top = top + TITLE_H + NAMES_H
        self._fall_top = self._spectrum_top + SPECTRUM_H
        self._bottom = self._fall_top + waterfall_h
        half_hz = measured.sample_rate_hz / 2
        center_hz = measured.center_freq_hz
        self._hz = Scale(center_hz - half_hz, center_hz + half_hz, LEFT, RIGHT)
        duration_s = max(measured.waterfall.duration_s, 1e-9)
        self._time = Scale(0.0, duration_s, self._fall_top, self._bottom)
        self._colour = _colour_scale(measured, self._fall_top, self._bottom)

    def draw(self) -> None:
        self._title()
        self._spectrum()
        self._waterfall()
        self._axes()
        self._channels()
        for observation in self._measured.observations:
            self._burst(observation)
        self._colour_bar()

    def _title(self) -> None:
        measured = self._measured
        gain = "gain unknown" if measured.gain_db is None else f"gain {measured.gain_db:.1f} dB"
        self._canvas.text(LEFT, self._top, measured.receiver_id, size=16)
        figures = (
            f"{measured.center_freq_hz / 1e6:.4f} MHz, {measured.sample_rate_hz / 1e3:,.0f} kS/s, "
            f"{_seconds(measured.duration_s)}, {gain}; noise {measured.noise_dbfs:.1f} dBFS, "
            f"peak {measured.peak_dbfs:.1f} dBFS, {measured.count.clipped_fraction:.3%} clipped, "
            f"{measured.count.lost:,} lost; bursts: {len(measured.observations)}"
        )
        self._canvas.text(LEFT, self._top + 23, figures, size=12, colour=FAINT)

    def _spectrum(self) -> None:
        canvas, measured = self._canvas, self._measured
        mean_db, peak_db = _db(measured.mean), _db(measured.peak)
        low = 5 * math.floor((float(np.quantile(mean_db, 0.02)) - 3) / 5)
        high = max(5 * math.ceil((float(peak_db.max()) + 2) / 5), low + 20)
        scale = Scale(low, high, self._fall_top - 4, self._spectrum_top + 2)
        ticks = scale.ticks(about=3)
        for tick in ticks:
            y = scale.at(tick)
            canvas.line([(LEFT, y), (RIGHT, y)], GRID)
            if y < self._fall_top - 14:  # the time axis begins there
                canvas.text(LEFT - 9, y, f"{tick:.0f}", size=11, colour=FAINT, anchor="rm")
        canvas.text(LEFT - 9, self._spectrum_top - 19, "dBFS", size=11, colour=FAINT, anchor="ra")
        in_hz = f"in {measured.resolution_hz:,.0f} Hz"
        canvas.text(RIGHT + 8, self._spectrum_top + 40, in_hz, size=11, colour=FAINT)
        for level_db, colour, highest in ((peak_db, PEAK, True), (mean_db, MEAN, False)):
            pixels = _by_pixel(level_db, RIGHT - LEFT, highest=highest)
            canvas.line([(LEFT + i, scale.at(float(v))) for i, v in enumerate(pixels)], colour)
        canvas.text(RIGHT + 8, self._spectrum_top + 8, "peak", size=11, colour=PEAK)
        canvas.text(RIGHT + 8, self._spectrum_top + 24, "mean", size=11, colour=MEAN)

    def _waterfall(self) -> None:
        power = self._measured.waterfall.power
        corners = (LEFT, self._fall_top, RIGHT, self._bottom)
        if len(power):
            low, high = self._colour.low, self._colour.high
            share = (_db(power.astype(np.float64)) - low) / (high - low)
            self._canvas.paste(coloured(share), corners)
        self._canvas.box((LEFT - 1, self._spectrum_top, RIGHT, self._bottom), FAINT)

    def _axes(self) -> None:
        canvas = self._canvas
        mhz = Scale(self._hz.low / 1e6, self._hz.high / 1e6, LEFT, RIGHT)
        ticks = mhz.ticks(about=9)
        for tick in ticks:
            x = mhz.at(tick)
            canvas.line([(x, self._bottom), (x, self._bottom + 5)], FAINT)
            canvas.text(x, self._bottom + 7, tick_label(tick, ticks), anchor="ma")
        canvas.text((LEFT + RIGHT) / 2, self._bottom + 22, "MHz", colour=FAINT, anchor="ma")
        lasts_ms = self._time.high < 1.0
        factor = 1e3 if lasts_ms else 1.0
        time = Scale(0.0, self._time.high * factor, self._fall_top, self._bottom)
        ticks = time.ticks(about=6)
        for tick in ticks:
            y = time.at(tick)
            canvas.line([(LEFT - 6, y), (LEFT - 1, y)], FAINT)
            label = f"{tick_label(tick, ticks)} {'ms' if lasts_ms else 's'}"
            canvas.text(LEFT - 9, y, label, anchor="rm")

    def _channels(self) -> None:
        """Each channel's band over the spectrum, and its name where it has room."""
        canvas, y = self._canvas, self._spectrum_top - 3
        free_from = -math.inf
        for measure in sorted(self._measured.channels, key=lambda m: m.channel.frequency_hz):
            channel = measure.channel
            left, right = self._span(channel.frequency_hz, channel.bandwidth_hz)
            canvas.fill((left, y - 2, right, y), CHANNEL)
            canvas.line([(left, y), (left, self._fall_top)], CHANNEL)
            canvas.line([(right, y), (right, self._fall_top)], CHANNEL)
            half_width = canvas.text_width(channel.name) / 2
            middle = min(max((left + right) / 2, LEFT + half_width), RIGHT - half_width)
            if middle - half_width > free_from:
                canvas.text(middle, y - 5, channel.name, colour=CHANNEL, anchor="ms")
                free_from = middle + half_width + 6

    def _burst(self, observation: Observation) -> None:
        widths_hz = {c.channel.name: c.channel.bandwidth_hz for c in self._measured.channels}
        left, right = self._span(observation.frequency_hz, widths_hz[observation.channel])
        start_ns = self._measured.waterfall.start_utc_ns
        begin_s = (observation.start_utc_ns - start_ns) / NS_PER_S
        top = max(self._time.at(begin_s), self._fall_top)
        bottom = min(self._time.at(begin_s + observation.duration_s), self._bottom)
        if bottom - top >= BOX_H:
            self._canvas.box((left - 2, top - 1, right + 2, bottom + 1), BURST, 2)
            return
        middle = (top + bottom) / 2  # a box would hide it: two marks beside it
        self._canvas.line([(left - 9, middle), (left - 3, middle)], BURST)
        self._canvas.line([(right + 3, middle), (right + 9, middle)], BURST)

    def _span(self, frequency_hz: float, width_hz: float) -> tuple[float, float]:
        """Pixels of a band, at least three of them."""
        left = self._hz.at(frequency_hz - width_hz / 2)
        right = self._hz.at(frequency_hz + width_hz / 2)
        missing = max(0.0, 3 - (right - left)) / 2
        return left - missing, right + missing

    def _colour_bar(self) -> None:
        canvas, scale = self._canvas, self._colour
        shares = np.linspace(1.0, 0.0, 128)[:, None]
        left = RIGHT + 12
        canvas.paste(coloured(shares), (left, self._fall_top + 18, left + 14, self._bottom))
        for tick in scale.ticks(about=5):
            y = scale.at(tick)
            canvas.line([(left + 14, y), (left + 18, y)], FAINT)
            canvas.text(left + 21, y, f"{tick:.0f}", size=11, colour=FAINT, anchor="lm")
        canvas.text(left, self._fall_top + 1, "dBFS", size=11, colour=INK)


def _colour_scale(measured: Measured, top: int, bottom: int) -> Scale:
    """From a little under the noise up."""
    power = measured.waterfall.power
    seen = power[np.isfinite(power)] if power.size else power
    floor_db = 10 * math.log10(max(float(np.median(seen)) if seen.size else 0.0, 1e-15))
    low = floor_db - UNDER_FLOOR_DB
    return Scale(low, low + SPAN_DB, bottom, top + 18)


def _db(power: Float64) -> Float64:
    return np.asarray(10 * np.log10(np.maximum(power, 1e-15)))


def _by_pixel(values: Float64, n_pixels: int, *, highest: bool) -> Float64:
    """One value a pixel: the highest of its columns, or their mean."""
    edges = np.linspace(0, len(values), n_pixels + 1).astype(int)
    starts = np.minimum(edges[:-1], len(values) - 1)
    if highest:
        return np.asarray(np.maximum.reduceat(values, starts))
    counts = np.diff(np.append(starts, len(values)))
    return np.asarray(np.add.reduceat(values, starts) / np.maximum(counts, 1))


def _seconds(duration_s: float) -> str:
    return f"{duration_s * 1e3:.0f} ms" if duration_s < 1 else f"{duration_s:.1f} s"
