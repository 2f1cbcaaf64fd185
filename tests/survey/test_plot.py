"""Scales and colours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from heimdall_edge.survey.plot import Canvas, Scale, coloured, tick_label


def test_a_scale_goes_straight_from_end_to_end():
    scale = Scale(10.0, 20.0, 100.0, 0.0)
    assert [scale.at(v) for v in (10, 15, 20)] == [100.0, 50.0, 0.0]


def test_ticks_are_round_and_within():
    assert Scale(446.011, 446.069, 0, 1).ticks(about=6) == pytest.approx(
        [446.02, 446.03, 446.04, 446.05, 446.06]
    )
    assert Scale(-61.0, -19.0, 0, 1).ticks(about=4) == [-60, -50, -40, -30, -20]
    assert Scale(0.0, 14.0, 0, 1).ticks(about=7) == [0, 2, 4, 6, 8, 10, 12, 14]


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9), st.integers(2, 12))
def test_any_scale_has_a_few_ticks(low, span, about):
    ticks = Scale(low, low + span, 0, 1).ticks(about=about)
    assert 1 <= len(ticks) <= 3 * about + 1
    assert all(low - span * 1e-3 <= tick <= low + span * 1.001 for tick in ticks)


def test_labels_have_as_many_decimals_as_they_need():
    assert tick_label(446.02, [446.02, 446.03]) == "446.02"
    assert tick_label(20.0, [0.0, 20.0]) == "20"
    assert tick_label(0.5, [0.0, 0.5]) == "0.5"
    assert tick_label(3.0, [3.0]) == "3"


def test_brighter_is_more_and_nothing_is_grey():
    rgb = coloured(np.array([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0, np.nan]))
    luminance = rgb[:-1] @ [0.299, 0.587, 0.114]
    assert (np.diff(luminance) >= 0).all()
    assert luminance[1] < luminance[2] < luminance[3] < luminance[4] < luminance[5]
    assert len(set(rgb[-1])) == 1


def test_a_canvas_becomes_a_png(tmp_path):
    canvas = Canvas(60, 40)
    canvas.fill((0, 0, 9, 9), (255, 0, 0))
    canvas.paste(np.full((2, 2, 3), 7, np.uint8), (20, 10, 40, 30))
    canvas.box((20, 10, 40, 30), (0, 255, 0))
    canvas.line([(0, 39), (59, 39)], (0, 0, 255))
    canvas.text(1, 20, "x")
    assert canvas.text_width("wide") > canvas.text_width("i") > 0
    canvas.save(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (60, 40)
        assert image.getpixel((5, 5)) == (255, 0, 0)
        assert image.getpixel((30, 20)) == (7, 7, 7)
        assert image.getpixel((20, 20)) == (0, 255, 0)
        assert image.getpixel((30, 39)) == (0, 0, 255)
