"""What to do about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heimdall_edge.config import Channel
from heimdall_edge.survey.advice import gain_advice, neighbours, warnings
from heimdall_edge.types import Place, SampleCount

from .receivers import CHANNELS, blocks, metered, receiver_of, samples

GOOD = metered(blocks(samples(6.0, noise_dbfs=-35.0, dc=0.02)), gain_db=20.0)


def advised(text="", *, kind="rtlsdr", **fields):
    return gain_advice(replace(GOOD, **fields), receiver_of(text, kind=kind))


def said(text="", *, kind="rtlsdr", measured=None, **fields):
    return list(warnings(replace(measured or GOOD, **fields), receiver_of(text, kind=kind)))


# ── gain ──


def test_a_good_gain_is_left_as_it_is():
    advice = advised()
    assert advice.change_db == 0
    assert advice.suggested_db is None
    assert advice.reason == "noise 15 dB over the converter's steps"


@pytest.mark.parametrize(("clipped", "change_db"), [(0, 0), (149, 0), (200, -6), (20_000, -12)])
def test_clipping_asks_for_less_gain(clipped, change_db):
    count = SampleCount(received=1_500_000, clipped=clipped)
    assert advised(count=count).change_db == change_db


def test_noise_near_the_converters_steps_asks_for_more_gain():
    advice = advised(noise_dbfs=-45.9, peak_dbfs=-30.0)
    assert advice.change_db == 6
    assert advice.suggested_db == 26.0


def test_strong_signals_limit_how_much_more():
    assert advised(noise_dbfs=-49.9, peak_dbfs=-8.0).change_db == 5
    none = advised(noise_dbfs=-49.9, peak_dbfs=-3.2)
    assert none.change_db == 0
    assert "no room" in none.reason


def test_noise_that_takes_the_room_of_strong_signals_asks_for_less_gain():
    assert advised(noise_dbfs=-25.9, peak_dbfs=-1.0).change_db == -4
    assert advised(noise_dbfs=-25.9, peak_dbfs=-9.0).change_db == 0


def test_the_nearest_known_step_is_suggested():
    steps = "calibration = { gain_steps = [ { set_db = 14.0, true_db = 13.0 }, "
    steps += "{ set_db = 20.7, true_db = 20.0 }, { set_db = 25.4, true_db = 25.0 } ] }"
    assert advised(steps, noise_dbfs=-45.9, peak_dbfs=-30.0).suggested_db == 25.4


def test_a_gain_that_nobody_knows_or_may_set_is_only_said_by_how_much():
    recording = 'recording = { path = "x.cu8" }'
    assert advised(recording, kind="recording", noise_dbfs=-45.9, peak_dbfs=-30.0).change_db == 6
    file = advised(recording, kind="recording", noise_dbfs=-45.9, peak_dbfs=-30.0)
    assert file.suggested_db is None
    assert advised(gain_db=None, noise_dbfs=-45.9, peak_dbfs=-30.0).suggested_db is None


def test_floats_have_no_steps_to_compare_with():
    assert advised(quantisation_dbfs=None).reason == "nothing clipped"


# ── warnings ──


def test_nothing_is_said_of_a_good_receiver():
    assert said() == []


def test_automatic_gain_is_said():
    assert said("agc = true") == [
        "agc is on: its levels say nothing of distance; set gain_db instead"
    ]


def test_clipped_and_lost_samples_are_said():
    count = SampleCount(received=1_000_000, lost=5_000, dropped=7, clipped=2_000)
    assert said(count=count) == [
        "2,000 samples clipped (0.20%)",
        "5,000 samples lost, 7 dropped",
    ]


def test_a_channel_on_the_spike_is_said_where_there_is_a_spike():
    at_centre = Channel(name="mid", frequency_hz=446.05e6 + 6_000)
    spiked = metered(blocks(samples(6.0, dc=0.02)), channels=(at_centre,))
    (line,) = said(measured=spiked)
    assert line.startswith("channel 'mid' lies on the spike at the centre (")
    clean = metered(blocks(samples(6.0), datatype="cf32_le"), channels=(at_centre,))
    assert said(measured=clean) == []


def test_a_channel_at_the_edge_of_the_band_is_said():
    at_edge = Channel(name="edge", frequency_hz=446.05e6 + 100e3)
    assert said(measured=metered(blocks(samples(6.0)), channels=(at_edge,))) == [
        "channel 'edge' lies at the band's edge, where the tuner's filter falls off"
    ]


def test_a_channel_that_is_never_silent_is_said():
    # tones over most of it, so that a floor is found beside them
    tones = [(0.1, 6.0, -50e3 + hz, -15.0) for hz in (-2_000, 0, 2_000)]
    busy = metered(blocks(samples(6.0, *tones)), channels=CHANNELS[:1])
    lines = said(measured=busy)
    assert lines == ["channel 'pmr1' is open all the time: a carrier, or open_db is too low"]


def test_too_short_for_a_floor_is_said():
    short = metered(blocks(samples(0.004), n_samples=500), channels=CHANNELS[:1])
    assert said(measured=short) == ["channel 'pmr1': too short for a noise floor"]


def test_a_channel_out_of_reach_is_said_unless_another_centre_may_have_it():
    assert said(out_of_band=("x",)) == ["channel 'x' lies outside its band"]
    scan = "scan = { centers_hz = [446.05e6, 446.08e6] }"
    assert said(scan, out_of_band=("x",)) == []


def test_a_rate_that_the_host_does_not_see_is_said_of_radios_only():
    (line,) = said(measured_rate_hz=240e3)
    assert line == "gives 240,000 samples a second: -4.0% off its rate (USB, or CPU)"
    assert said(measured_rate_hz=249_900.0) == []
    assert said(measured_rate_hz=251_500.0, duration_s=6.0) == [], "a block came early"
    assert len(said(measured_rate_hz=252_500.0, duration_s=60.0)) == 1
    recording = 'recording = { path = "x.cu8" }'
    assert said(recording, kind="recording", measured_rate_hz=9e6) == []


def test_receivers_in_one_place_are_said():
    here, beside, away = Place(45.0, 7.0), Place(45.0001, 7.0), Place(45.1, 7.0)
    assert list(neighbours([("a", here), ("b", beside), ("c", away)])) == [
        "a and b stand 11 m apart: together they say little more"
    ]
