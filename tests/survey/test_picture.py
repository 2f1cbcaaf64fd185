"""What is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from heimdall_edge.config import Channel
from heimdall_edge.survey import picture
from heimdall_edge.survey.picture import BURST, LEFT, RIGHT, WIDTH, draw
from heimdall_edge.survey.run import Surveyed

from .receivers import CHANNELS, RATE_HZ, RECEIVER, blocks, metered, receiver_of, samples

MADE = blocks(samples(4.0, (1.0, 2.0, -50e3, -25.0)))


def drawn(tmp_path, *measured):
    found = [Surveyed(receiver_of(), RECEIVER, None, measured, None)]
    draw(found, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        return np.asarray(image.convert("RGB"))


def where(pixels, colour):
    rows, columns = np.nonzero((pixels == colour).all(axis=2))
    return rows, columns


def test_a_burst_has_its_box_at_its_time_and_frequency(tmp_path):
    pixels = drawn(tmp_path, metered(MADE))
    assert pixels.shape[1] == WIDTH
    rows, columns = where(pixels, BURST)
    x = LEFT + (RIGHT - LEFT) * (np.array([-56_250, -43_750]) / RATE_HZ + 0.5)
    assert columns.min() == pytest.approx(x[0] - 2, abs=1.5)
    assert columns.max() == pytest.approx(x[1] + 2, abs=1.5)
    height = picture.WATERFALL_H
    assert rows.max() - rows.min() == pytest.approx(height / 4, abs=8)
    inside = pixels[int(rows.mean()), int(columns.mean())].astype(int)
    outside = pixels[int(rows.mean()), int(columns.mean()) + 300].astype(int)
    assert inside.sum() > outside.sum() + 200, "the transmission itself is bright"


def test_bursts_too_short_for_a_box_get_marks_that_hide_nothing(tmp_path):
    bursts = [(0.5 + n * 0.02, 0.502 + n * 0.02, -50e3, -20.0) for n in range(150)]
    short = CHANNELS[0].model_copy(update={"min_duration_s": 0.0, "hang_s": 0.0})
    measured = metered(blocks(samples(4.0, *bursts)), channels=(short,))
    assert len(measured.observations) > 50
    _, columns = where(drawn(tmp_path, measured), BURST)
    middle = LEFT + (RIGHT - LEFT) * (-50e3 / RATE_HZ + 0.5)
    assert not ((columns > middle - 20) & (columns < middle + 20)).any()
    assert len(columns) > 50


def test_every_receiver_has_a_panel(tmp_path):
    one = drawn(tmp_path, metered(MADE))
    five = drawn(tmp_path, *[metered(MADE)] * 5)
    assert one.shape[0] > 500
    assert 5 * 300 < five.shape[0] < 5 * one.shape[0]


def test_without_any_receiver_it_says_so(tmp_path):
    pixels = drawn(tmp_path)
    assert pixels.shape[1] == WIDTH
    assert (pixels < 100).any()


def test_a_receiver_of_one_short_block_without_channels_can_be_drawn(tmp_path):
    far = Channel(name="far", frequency_hz=1e9)
    measured = metered(blocks(samples(0.001)), channels=(far,))
    assert len(measured.waterfall.power) == 0
    assert drawn(tmp_path, measured).shape[1] == WIDTH


def test_digital_silence_can_be_drawn(tmp_path):
    silent = metered(blocks(samples(0.5, noise_dbfs=-300), datatype="ci16_le"))
    assert drawn(tmp_path, silent).shape[1] == WIDTH


def test_names_that_would_overlap_are_left_out(tmp_path):
    crowd = [
        Channel(name=f"channel-{n:02}", frequency_hz=446.0e6 + 6_250.0 * n, bandwidth_hz=6_000.0)
        for n in range(16)
    ]
    pixels = drawn(tmp_path, replace(metered(MADE, channels=crowd), observations=()))
    assert len(where(pixels, picture.CHANNEL)[0]) > 500
