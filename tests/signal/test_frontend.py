from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.errors import BurstError
from heimdall_edge.signal.frontend import FrontEnd
from heimdall_edge.types import (
    NS_PER_S,
    ChannelSpec,
    ClockSource,
    ClockState,
    FrequencyError,
    IQBlock,
    Place,
    SampleCount,
    frozen_array,
)

RATE_HZ = 0.25e6
CENTER_HZ = 433.92e6
EPOCH_NS = 1_700_000_000_123_456_789
CENTRE = ChannelSpec("centre", CENTER_HZ, 12_500.0)
ABOVE = ChannelSpec("above", CENTER_HZ + 40_000.0, 12_500.0)
DTYPES = {"cu8": "u1", "ci8": "i1", "ci16_le": "<i2", "ci16_be": ">i2", "cf32_le": "<f4"}


def front_end(*channels, datatype="cf32_le", rate_hz=RATE_HZ, **options):
    return FrontEnd(
        datatype=datatype,
        sample_rate_hz=rate_hz,
        center_freq_hz=CENTER_HZ,
        channels=channels or (CENTRE,),
        **options,
    )


def block(samples, datatype="cf32_le", *, start=0, rate_hz=RATE_HZ, **fields):
    """Samples in their format's own numbers, interleaved, stamped by an exact clock."""
    return IQBlock(
        samples=frozen_array(np.array(samples, DTYPES[datatype])),
        datatype=datatype,
        sample_rate_hz=rate_hz,
        center_freq_hz=CENTER_HZ,
        sample_start=start,
        **{"start_utc_ns": EPOCH_NS + round(start * NS_PER_S / rate_hz)} | fields,
    )


def tone(offset_hz, n, *, amplitude=1.0, start=0, rate_hz=RATE_HZ):
    phase = 2j * np.pi * offset_hz / rate_hz * np.arange(start, start + n)
    return (amplitude * np.exp(phase)).astype(np.complex64).view(np.float32)


def in_blocks(samples, size, datatype="cf32_le", **fields):
    for i in range(0, len(samples) // 2, size):
        yield block(samples[2 * i : 2 * (i + size)], datatype, start=i, **fields)


def stream(unit, blocks):
    """The first channel's samples of a run."""
    return np.concatenate([unit.process(b)[0].iq[0] for b in blocks])


def power_db(iq):
    return 10 * math.log10(np.mean(np.abs(iq) ** 2) + 1e-30)


# ── formats ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("datatype", "scale", "zero", "tolerance"),
    [
        ("cu8", 127.5, 127.5, 3e-3),
        ("ci8", 128.0, 0.0, 3e-3),
        ("ci16_le", 32_768.0, 0.0, 1e-5),
        ("ci16_be", 32_768.0, 0.0, 1e-5),
        ("cf32_le", 1.0, 0.0, 1e-5),
    ],
)
def test_every_format_gives_the_same_channel(datatype, scale, zero, tolerance):
    signal = tone(41_000, 20_000, amplitude=0.7) + tone(38_000, 20_000, amplitude=0.2)
    numbers = signal * scale + zero
    if datatype != "cf32_le":
        # Dither makes the rounding errors independent of the signal, and so spread over the band.
        dither = np.random.default_rng(3).random(len(numbers))
        numbers = np.floor(numbers + dither)
    (taken,) = front_end(ABOVE, datatype=datatype).process(block(numbers, datatype))
    (exact,) = front_end(ABOVE).process(block(signal))
    assert taken.iq.dtype == np.complex64
    assert power_db(taken.iq - exact.iq) < 20 * math.log10(tolerance)


@pytest.mark.parametrize(
    ("datatype", "numbers", "expected"),
    [
        ("cu8", [0, 9, 9, 255, 0, 255, 1, 254, 9, 9], 3),
        ("ci8", [-128, 9, 9, 127, -128, 127, -127, 126, 9, 9], 3),
        ("ci16_le", [-32768, 9, 9, 32767, 32767, 32767, -32767, 32766, 0, 0], 3),
        ("ci16_be", [-32768, 9, 9, 32767, 32767, 32767, -32767, 32766, 128, -1], 3),
        ("cf32_le", [-1, 0, 0, 1, 1.5, -7, -0.999, 0.999, 0, 0], 3),
    ],
)
def test_samples_at_the_converters_limits_are_counted_as_clipped(datatype, numbers, expected):
    (out,) = front_end(datatype=datatype).process(block(numbers, datatype))
    assert out.count == SampleCount(received=5, clipped=expected)


def test_a_smaller_converter_inside_a_format_has_a_full_scale_and_limits_of_its_own():
    signal = tone(41_000, 20_000, amplitude=0.7)
    numbers = np.rint(signal * 2048)
    twelve_bits = block(numbers, "ci16_le", full_scale=2048.0)
    (taken,) = front_end(ABOVE, datatype="ci16_le", full_scale=2048.0).process(twelve_bits)
    (exact,) = front_end(ABOVE).process(block(signal))
    assert power_db(taken.iq - exact.iq) < -60
    limits = block([-2048, 9, 9, 2047, -2047, 2046, 0, 0], "ci16_le", full_scale=2048.0)
    (out,) = front_end(datatype="ci16_le", full_scale=2048.0).process(limits)
    assert out.count == SampleCount(received=4, clipped=2)


def test_a_dongle_that_centres_at_127_37_shows_no_carrier_at_its_centre():
    generator = np.random.default_rng(1)
    levels = 127.37 + 3.0 * generator.normal(size=2 * 500_000)
    blocks = list(in_blocks(np.clip(np.rint(levels), 0, 255), 65_536, "cu8"))
    iq = stream(front_end(datatype="cu8"), blocks)
    kept = stream(front_end(datatype="cu8", remove_offset=False), blocks)
    offset_db = 20 * math.log10(math.hypot(0.13, 0.13) / 127.5)
    assert 20 * math.log10(abs(kept.mean())) == pytest.approx(offset_db, abs=0.5)
    assert 20 * math.log10(abs(iq.mean())) < offset_db - 20


@pytest.mark.parametrize("offset_hz", [0.0, 3.0, 20.0])
def test_a_second_of_carrier_at_the_very_centre_is_kept_within_one_db(offset_hz):
    rate_hz = 20e3
    n = round(10 * rate_hz)
    wave = 127.4 + np.random.default_rng(1).normal(size=2 * n)
    burst = slice(2 * round(8 * rate_hz), 2 * round(9 * rate_hz))
    wave[burst] += 127.5 * tone(offset_hz, round(rate_hz), amplitude=0.03, rate_hz=rate_hz)
    unit = front_end(datatype="cu8", rate_hz=rate_hz)
    iq = stream(unit, in_blocks(np.rint(wave), 4_096, "cu8", rate_hz=rate_hz))
    during = iq[round(8.02 * rate_hz) : round(8.95 * rate_hz)]
    assert power_db(during) == pytest.approx(20 * math.log10(0.03), abs=1.0)


def test_wider_formats_keep_a_carrier_at_their_centre_for_ever():
    samples = np.rint(32_768 * tone(0.0, 500_000, amplitude=0.01))
    iq = stream(front_end(datatype="ci16_le"), in_blocks(samples, 65_536, "ci16_le"))
    assert power_db(iq[-1_000:]) == pytest.approx(-40.0, abs=0.05)
    removed = stream(
        front_end(datatype="ci16_le", remove_offset=True), in_blocks(samples, 65_536, "ci16_le")
    )
    assert power_db(removed) < -70


# ── blocks ────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 4_000), min_size=1, max_size=10))
def test_any_block_sizes_give_the_same_samples_counts_and_times(sizes):
    edges = np.concatenate([[0], np.cumsum(sizes)])
    numbers = np.random.default_rng(2).integers(0, 256, 2 * edges[-1])
    (whole,) = front_end(ABOVE, datatype="cu8").process(block(numbers, "cu8"))
    unit = front_end(ABOVE, datatype="cu8")
    pieces = [
        unit.process(block(numbers[2 * a : 2 * b], "cu8", start=int(a)))[0]
        for a, b in itertools.pairwise(edges)
    ]
    np.testing.assert_allclose(np.concatenate([p.iq for p in pieces], axis=1), whole.iq, atol=1e-5)
    assert sum((p.count for p in pieces), SampleCount()) == whole.count
    n_before = 0
    for piece in pieces:
        expected_ns = whole.start_utc_ns + n_before * NS_PER_S / whole.sample_rate_hz
        assert abs(piece.start_utc_ns - expected_ns) <= 1
        n_before += piece.n_samples


def test_the_channels_of_each_width_share_one_read_only_block_in_order():
    wide = ChannelSpec("wide", CENTER_HZ, 50_000.0)
    outs = front_end(ABOVE, wide, CENTRE).process(block(np.zeros(20_000)))
    assert [out.channels for out in outs] == [(ABOVE, CENTRE), (wide,)]
    for out, divisor in zip(outs, (16, 4), strict=True):
        assert out.sample_rate_hz == RATE_HZ / divisor
        assert out.iq.shape == (len(out.channels), out.n_samples)
        assert not out.iq.flags.writeable


def test_channels_left_out_are_in_no_block_until_they_are_back():
    unit = front_end(ABOVE, CENTRE)
    numbers = np.random.default_rng(2).normal(size=60_000)
    (whole,) = front_end(ABOVE, CENTRE).process(block(numbers))
    pieces = []
    for start, names in ((0, {"above", "centre"}), (10_000, {"centre"}), (20_000, {"above"})):
        unit.limit_to(names)
        pieces += unit.process(block(numbers[2 * start : 2 * start + 20_000], start=start))
    assert [p.channels for p in pieces] == [(ABOVE, CENTRE), (CENTRE,), (ABOVE,)]
    assert [p.follows for p in pieces] == [False, True, True]
    unit.limit_to(())
    (none,) = unit.process(block(np.zeros(20_000), start=30_000))
    assert none.channels == ()
    assert none.count == SampleCount(received=10_000)
    first, second = (p.n_samples for p in pieces[:2])
    np.testing.assert_allclose(pieces[1].iq[0], whole.iq[1][first : first + second], atol=1e-5)
    np.testing.assert_allclose(pieces[2].iq[0], whole.iq[0][first + second :], atol=1e-5)


def test_a_block_too_short_for_any_output_gives_empty_ones_with_its_count():
    unit = front_end()
    (first,) = unit.process(block(np.zeros(2 * 100)))
    assert first.n_samples == 0
    assert first.count == SampleCount(received=100)
    (second,) = unit.process(block(np.zeros(0), start=100))
    assert second.count == SampleCount()
    (third,) = unit.process(block(np.zeros(2 * 9_900), start=100))
    assert third.n_samples > 0
    assert [first.follows, second.follows, third.follows] == [False, False, False]
    assert unit.process(block(np.zeros(20_000), start=10_000))[0].follows


def test_what_a_block_says_of_itself_passes_through():
    said = {
        "clock": ClockState(ClockSource.GNSS, sigma_s=1e-7, locked=True),
        "place": Place(50.0, 9.0),
        "gain_db": 29.7,
        "full_scale_dbm": -12.5,
        "frequency_error": FrequencyError(1.5, 0.25),
    }
    (out,) = front_end().process(block(np.zeros(20), **said))
    assert {name: getattr(out, name) for name in said} == said


def test_the_output_rate_follows_a_rate_that_is_fitted_anew():
    unit = front_end(ChannelSpec("kiwi", CENTER_HZ, 10_000.0), rate_hz=12_001.03)
    refitted = block(np.zeros(20), rate_hz=12_001.0301)
    assert unit.accepts(refitted)
    assert unit.process(refitted)[0].sample_rate_hz == 12_001.0301


# ── time ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [777, 4_096, 30_000])
def test_an_impulse_appears_at_the_instant_it_was_received(size):
    at = 20_011
    samples = np.zeros(2 * 30_000)
    samples[2 * at] = 1.0
    unit = front_end(CENTRE)
    outs = [unit.process(b)[0] for b in in_blocks(samples, size)]
    power = np.concatenate([np.abs(out.iq[0].astype(complex)) ** 2 for out in outs])
    times_ns = np.concatenate(
        [
            out.start_utc_ns - EPOCH_NS + np.arange(out.n_samples) * NS_PER_S / out.sample_rate_hz
            for out in outs
        ]
    )
    centroid_ns = np.sum(power * times_ns) / np.sum(power)
    assert centroid_ns == pytest.approx(at * NS_PER_S / RATE_HZ, abs=200)  # a sample is 4000 ns


def test_times_do_not_drift_over_a_month():
    rate_hz = 12_001.03
    start = 31 * 86_400 * 12_000
    first_ns = EPOCH_NS + 31 * 86_400 * NS_PER_S
    unit = front_end(ChannelSpec("kiwi", CENTER_HZ, 10_000.0), rate_hz=rate_hz)
    n_outputs = 0
    for i in range(100):
        stamp_ns = first_ns + round(i * 512 * NS_PER_S / rate_hz)
        (out,) = unit.process(
            block(np.zeros(1_024), start=start + i * 512, rate_hz=rate_hz, start_utc_ns=stamp_ns)
        )
        if i == 0:
            origin_ns = out.start_utc_ns
        assert abs(out.start_utc_ns - origin_ns - n_outputs * NS_PER_S / rate_hz) <= 2
        n_outputs += out.n_samples


def test_times_follow_each_blocks_own_stamp():
    unit = front_end()
    (before,) = unit.process(block(np.zeros(2 * 10_000)))
    corrected_ns = EPOCH_NS + 40_000_000 + 1_000  # the clock was set by 1 µs
    (after,) = unit.process(block(np.zeros(2 * 10_000), start=10_000, start_utc_ns=corrected_ns))
    elapsed_ns = before.n_samples * NS_PER_S / before.sample_rate_hz
    assert after.start_utc_ns - before.start_utc_ns == elapsed_ns + 1_000


# ── gaps ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("lost", "dropped"), [(500, 0), (0, 300), (500, 300), (1, 0)])
def test_at_a_gap_the_filters_start_afresh_and_the_counts_ride_along(lost, dropped):
    unit = front_end()
    unit.process(block(tone(100, 20_000)))
    start = 20_000 + lost + dropped
    (out,) = unit.process(
        block(np.zeros(40_000), start=start, lost_samples=lost, dropped_samples=dropped)
    )
    assert not out.follows
    assert out.count == SampleCount(received=20_000, lost=lost, dropped=dropped)
    assert not out.iq.any()  # nothing of the tone before the gap
    (fresh,) = front_end().process(block(np.zeros(40_000), start=start))
    assert out.start_utc_ns == fresh.start_utc_ns


def test_samples_thrown_away_on_purpose_are_a_gap_but_no_fault():
    unit = front_end()
    unit.process(block(tone(100, 20_000)))
    (out,) = unit.process(block(np.zeros(40_000), start=20_500, discarded_samples=500))
    assert not out.follows
    assert out.count == SampleCount(received=20_000)
    assert not out.iq.any()


@pytest.mark.parametrize("start", [19_000, 20_001, 0])
def test_a_block_out_of_sequence_is_a_gap(start):
    unit = front_end()
    unit.process(block(tone(100, 20_000)))
    (out,) = unit.process(block(np.zeros(40_000), start=start))
    assert not out.follows
    assert not out.iq.any()


def test_the_phase_agrees_on_both_sides_of_a_gap():
    unit = front_end(ABOVE)
    (before,) = unit.process(block(tone(40_000, 20_000)))
    (after,) = unit.process(
        block(tone(40_000, 20_000, start=20_777), start=20_777, lost_samples=777)
    )
    np.testing.assert_allclose(before.iq, 1.0, atol=5e-6)
    np.testing.assert_allclose(after.iq, 1.0, atol=5e-6)


# ── wrong input ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
def test_a_block_that_is_not_finite_is_refused_and_counted_as_dropped(bad):
    unit = front_end()
    unit.process(block(tone(100, 20_000)))
    poisoned = tone(100, 5_000)
    poisoned[777] = bad
    with pytest.raises(
        BurstError, match=r"block at sample 20000: holds .* expected finite"
    ) as info:
        unit.process(block(poisoned, start=20_000, lost_samples=0))
    assert info.value.reason == "not_finite"
    (out,) = unit.process(block(tone(100, 20_000, amplitude=0.5), start=25_000))
    assert not out.follows
    assert out.count == SampleCount(received=20_000, dropped=5_000)
    assert power_db(out.iq) == pytest.approx(20 * math.log10(0.5), abs=0.01)
    assert unit.process(block(np.zeros(20), start=45_000))[0].follows


def test_losses_before_refused_blocks_are_not_forgotten():
    unit = front_end()
    for start in (1_000, 1_010):
        with pytest.raises(BurstError):
            unit.process(block([math.nan] * 20, start=start, lost_samples=3, dropped_samples=2))
    (out,) = unit.process(block(np.zeros(20), start=1_020))
    assert out.count == SampleCount(received=10, lost=6, dropped=24)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(7, "f4"), np.zeros((4, 2), "f4"), np.zeros(8, "f8"), np.zeros(8, "u1")],
)
def test_samples_that_are_not_of_the_format_are_refused(samples):
    malformed = replace(block([]), samples=samples)
    with pytest.raises(BurstError, match=r"expected <f4 \[2 \* n_samples\] for cf32_le") as info:
        front_end().process(malformed)
    assert info.value.reason == "malformed_block"


@pytest.mark.parametrize(
    "change",
    [
        {"datatype": "cu8"},
        {"sample_rate_hz": RATE_HZ + 1},
        {"center_freq_hz": CENTER_HZ + 1},
        {"full_scale": 0.5},
    ],
)
def test_a_block_of_another_stream_is_not_accepted(change):
    unit = front_end()
    other = replace(block([]), **change)
    assert unit.accepts(block([]))
    assert not unit.accepts(other)
    with pytest.raises(ValueError, match="expected cf32_le at 250000"):
        unit.process(other)


def test_an_impossible_stream_is_refused():
    with pytest.raises(ValueError, match="datatype 'cs16'; expected one of cu8, ci8"):
        front_end(datatype="cs16")
    for rate_hz in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="sample rate"):
            front_end(rate_hz=rate_hz)
    with pytest.raises(ValueError, match="no channels"):
        FrontEnd(datatype="cu8", sample_rate_hz=1e6, center_freq_hz=CENTER_HZ, channels=())
    with pytest.raises(ValueError, match=r"channel 'far' .* outside the receiver's band"):
        front_end(ChannelSpec("far", CENTER_HZ + 200e3, 12_500.0))


# ── real recordings ───────────────────────────────────────────────────────────────────────


@pytest.mark.real_data
def test_the_offset_of_a_real_dongle_is_removed(data_dir):
    samples = np.fromfile(data_dir / "iq" / "modes1_1090M_2000k.cu8", np.uint8)
    channel = ChannelSpec("centre", CENTER_HZ, 12_500.0)
    blocks = list(in_blocks(samples, 65_536, "cu8", rate_hz=2e6))
    kept = stream(
        front_end(channel, datatype="cu8", rate_hz=2e6, remove_offset=False), blocks
    ).mean()
    removed = stream(front_end(channel, datatype="cu8", rate_hz=2e6), blocks).mean()
    assert abs(samples.mean() - 127.4) < 0.1
    assert abs(removed) < 0.1 * abs(kept)


@pytest.mark.real_data
def test_the_carrier_of_dcf77_at_the_centre_of_a_real_kiwisdr_stays(data_dir):
    wav = (data_dir / "kiwi_dcf77" / "20171127T104156Z_77500_HB9RYZ_iq.wav").read_bytes()
    body = np.frombuffer(wav[36 : 36 + (len(wav) - 36) // 2074 * 2074], np.uint8).reshape(-1, 2074)
    samples = np.ascontiguousarray(body[:, 26:]).view("<i2").ravel()
    channel = ChannelSpec("dcf77", CENTER_HZ, 2_000.0)
    unit = front_end(channel, datatype="ci16_le", rate_hz=12_001.03)
    iq = stream(unit, in_blocks(samples, 512, "ci16_le", rate_hz=12_001.03))
    seconds = iq[: len(iq) // 3_000 * 3_000].reshape(-1, 3_000)
    carrier = np.abs(seconds.mean(axis=1)) ** 2
    assert len(seconds) > 25
    assert carrier[-10:].mean() > 0.5 * np.mean(np.abs(iq) ** 2)
