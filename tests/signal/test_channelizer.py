from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.signal.channel_plan import channel_decimation, channel_taps
from heimdall_edge.signal.channelizer import BATCH_SAMPLES, Channelizer, MeanTracker
from heimdall_edge.types import ChannelSpec

CENTER_HZ = 433.92e6


def channelizer(rate_hz, *channels, full_scale=1.0, mean=None):
    """Channels as (offset from the centre, width) in Hz."""
    return Channelizer(
        sample_rate_hz=rate_hz,
        center_freq_hz=CENTER_HZ,
        channels=[ChannelSpec(f"c{i}", CENTER_HZ + f, w) for i, (f, w) in enumerate(channels)],
        full_scale=full_scale,
        mean=mean or MeanTracker(nominal=0.0),
    )


def feed(unit, samples):
    """Each channel's samples, in the order of their names."""
    rows = {
        channel.name: row
        for bank, output in zip(unit.banks, unit.feed(samples), strict=True)
        for channel, row in zip(bank.channels, output, strict=True)
    }
    return [rows[name] for name in sorted(rows)]


def noise(n, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=2 * n) / 2).astype(np.float32)


def tone(cycles, n, start=0):
    """Full-scale tone of that many cycles a sample, interleaved float32."""
    phase = cycles * np.arange(start, start + n)
    return np.exp(2j * np.pi * phase).astype(np.complex64).view(np.float32)


def directly(interleaved, rate_hz, offset_hz, width_hz, *, margin, n_outputs, first_index=0):
    """Mix, convolve, decimate, in float64 by the definitions."""
    samples = interleaved.astype(np.float64).view(np.complex128)
    n = np.arange(len(samples)) + first_index
    mixed = samples * np.exp(-2j * np.pi * (offset_hz / rate_hz * n % 1.0))
    taps = channel_taps(rate_hz, width_hz)
    reach = len(taps) // 2
    divisor = channel_decimation(rate_hz, width_hz)
    stretch = mixed[margin - reach : margin + (n_outputs - 1) * divisor + reach + 1]
    return np.convolve(stretch, taps, "valid")[::divisor]


def power_db(iq):
    return 10 * math.log10(np.mean(np.abs(iq) ** 2) + 1e-30)


@pytest.mark.parametrize(
    ("rate_hz", "offset_hz", "width_hz", "n"),
    [
        (0.25e6, -31_234.567, 12_500.0, 20_000),
        (0.25e6, 116_000.0, 12_500.0, 20_000),
        (1.024e6, 400_001.7, 12_500.0, 45_000),
        (2.4e6, -1_000_003.21, 200_000.0, 30_000),
        (2.4e6, 25_000.0, 12_500.0, 70_000),
        (2.0e6, 0.0, 1.8e6, 10_000),
        (2.0e6, 70_000.5, 1.8e6, 10_000),
        (12_001.03, 333.25, 10_000.0, 10_000),
        (12_001.03, -4_000.0, 500.0, 20_000),
        (3.2e6, 1_500_000.0, 30_000.0, 60_000),
    ],
)
def test_a_channel_is_what_direct_convolution_gives(rate_hz, offset_hz, width_hz, n):
    samples = noise(n)
    unit = channelizer(rate_hz, (offset_hz, width_hz))
    (iq,) = feed(unit, samples)
    assert len(iq) > 10
    offset_hz = float(Fraction(CENTER_HZ + offset_hz) - Fraction(CENTER_HZ))
    expected = directly(
        samples, rate_hz, offset_hz, width_hz, margin=unit.plan.margin, n_outputs=len(iq)
    )
    rms = np.sqrt(np.mean(np.abs(expected) ** 2))
    assert np.abs(iq - expected).max() < 2e-5 * rms


def test_channels_of_all_widths_share_one_pass_and_do_not_disturb_each_other():
    wanted = [(-1e5, 12_500), (4e5, 25_000), (0, 900_000), (-4.3e5, 12_500), (2e5, 150_000)]
    samples = noise(60_000)
    together = channelizer(1.024e6, *wanted)
    for iq, (offset_hz, width_hz) in zip(feed(together, samples), wanted, strict=True):
        expected = directly(
            samples, 1.024e6, offset_hz, width_hz, margin=together.plan.margin, n_outputs=len(iq)
        )
        np.testing.assert_allclose(iq, expected, atol=2e-6)


def test_a_full_scale_tone_keeps_its_power_anywhere_in_the_channel():
    for offset_hz in np.linspace(-6_250, 6_250, 41):
        (iq,) = feed(
            channelizer(0.25e6, (40_000, 12_500)), tone((40_000 + offset_hz) / 0.25e6, 8_192)
        )
        assert power_db(iq) == pytest.approx(0.0, abs=0.01)  # 0.2 dB were allowed


@pytest.mark.parametrize(
    ("rate_hz", "width_hz"), [(0.25e6, 12_500), (0.25e6, 30_000), (0.25e6, 180_000), (12e3, 10e3)]
)
def test_tones_outside_the_channel_and_its_skirt_are_90_db_down(rate_hz, width_hz):
    divisor = channel_decimation(rate_hz, width_hz)
    stop_hz = min(1.25 * width_hz, rate_hz / divisor) / 2
    aliases_hz = np.arange(1, divisor) * rate_hz / divisor
    edges_hz = (aliases_hz[:, None] + np.array([-0.5, 0, 0.5]) * width_hz).ravel()
    all_hz = np.concatenate([np.linspace(stop_hz, rate_hz - stop_hz, 97), edges_hz])
    outside_hz = all_hz[(all_hz >= stop_hz) & (all_hz <= rate_hz - stop_hz)]
    unit = channelizer(rate_hz, (0.0, width_hz))
    for offset_hz in outside_hz:
        unit.restart(0)
        (iq,) = feed(unit, tone(offset_hz / rate_hz, unit.plan.n_fft + 2 * unit.plan.hop))
        assert power_db(iq) < -90, offset_hz  # 70 dB were demanded


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3_000), max_size=12), st.integers(1, 3))
def test_any_block_sizes_give_the_same_samples(sizes, seed):
    samples = noise(15_000, seed)
    wanted = [(-31_234.5, 12_500), (7.25, 20_000)]
    whole = feed(channelizer(0.25e6, *wanted), samples)
    unit = channelizer(0.25e6, *wanted)
    pieces = [feed(unit, piece) for piece in np.split(samples, np.cumsum(sizes) * 2)]
    for i, expected in enumerate(whole):
        np.testing.assert_allclose(np.concatenate([p[i] for p in pieces]), expected, atol=2e-6)


def test_blocks_of_a_single_sample_give_the_same_samples_and_mean():
    samples = noise(3_000) + np.float32(0.3)

    def tracker():
        return MeanTracker(nominal=0.0, max_deviation=1.0, time_constant=1_000)

    (whole,) = feed(channelizer(12e3, (0, 10e3), mean=tracker()), samples)
    unit = channelizer(12e3, (0, 10e3), mean=tracker())
    pieces = [feed(unit, samples[i : i + 2])[0] for i in range(0, len(samples), 2)]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=2e-6)


def test_a_block_larger_than_any_batch_gives_the_same_samples():
    samples = noise(5 * BATCH_SAMPLES + 7)
    (whole,) = feed(channelizer(0.25e6, (50e3, 12_500)), samples)
    unit = channelizer(0.25e6, (50e3, 12_500))
    pieces = [feed(unit, samples[i : i + 2 * 40_000])[0] for i in range(0, len(samples), 80_000)]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12_000))
def test_the_number_of_outputs_follows_from_the_number_of_inputs(n):
    unit = channelizer(0.25e6, (0, 12_500), (0, 50_000))
    plan = unit.plan
    n_frames = max(0, (n - 2 * plan.margin) // plan.hop)
    narrow, wide = feed(unit, np.zeros(2 * n, np.float32))
    assert len(narrow) == n_frames * plan.hop // 16
    assert len(wide) == n_frames * plan.hop // 4
    assert unit.output_index == plan.margin + n_frames * plan.hop


def test_the_output_index_is_where_an_impulse_appears():
    unit = channelizer(0.25e6, (0, 12_500))
    unit.restart(1_000)
    first_index = unit.output_index
    at = 320  # outputs after the first
    samples = np.zeros(2 * 20_000, np.float32)
    samples[2 * (first_index - 1_000 + at * 16)] = 1.0
    (iq,) = feed(unit, samples)
    assert np.argmax(np.abs(iq)) == at
    np.testing.assert_allclose(iq[at - 50 : at][::-1], iq[at + 1 : at + 51], atol=1e-6)


@pytest.mark.parametrize("start", [0, 12_345, 30 * 86_400 * 2_400_000 + 7])
def test_the_oscillator_keeps_its_phase_for_a_month_whatever_the_start(start):
    rate_hz, offset_hz = 0.25e6, 33_333.25
    cycles = Fraction(CENTER_HZ + offset_hz - CENTER_HZ) / Fraction(rate_hz)
    start_cycles = float(cycles * start % 1)
    n = 10_000
    samples = np.exp(2j * np.pi * (start_cycles + float(cycles) * np.arange(n)))
    unit = channelizer(rate_hz, (offset_hz, 12_500))
    unit.restart(start)
    (iq,) = feed(unit, samples.astype(np.complex64).view(np.float32))
    np.testing.assert_allclose(iq, 1.0, atol=5e-6)


def test_two_runs_of_one_stream_agree_in_phase_after_a_restart():
    samples = noise(30_000)
    unit = channelizer(0.25e6, (33_333.3, 12_500))
    (whole,) = feed(unit, samples)
    cut = 16 * 500
    unit.restart(cut)
    skipped = (unit.output_index - unit.plan.margin) // 16
    (again,) = feed(unit, samples[2 * cut :])
    np.testing.assert_allclose(again, whole[skipped : skipped + len(again)], atol=2e-6)


def test_a_restart_forgets_the_samples_before_it():
    unit = channelizer(0.25e6, (0, 12_500))
    feed(unit, noise(2_000))
    unit.restart(9_999)
    (iq,) = feed(unit, np.zeros(2 * 10_000, np.float32))
    assert not iq.any()


def test_channels_left_out_are_not_computed_and_the_others_go_on():
    wanted = [(0, 12_500), (20e3, 12_500), (-50e3, 30_000), (60e3, 12_500)]
    samples = noise(40_000)
    whole = feed(channelizer(0.25e6, *wanted), samples)
    unit = channelizer(0.25e6, *wanted)
    pieces = [feed(unit, samples[:30_000])]
    for names, part in (({"c0", "c3"}, slice(30_000, 50_000)), ((), slice(50_000, 60_000))):
        unit.limit_to(names)
        pieces.append(feed(unit, samples[part]))
    assert [len(piece) for piece in pieces] == [4, 2, 0]
    both = [np.concatenate([pieces[0][i], pieces[1][j]]) for i, j in ((0, 0), (3, 1))]
    np.testing.assert_allclose(both[0], whole[0][: len(both[0])], atol=2e-6)
    np.testing.assert_allclose(both[1], whole[3][: len(both[1])], atol=2e-6)
    unit.limit_to({"c0", "c1", "c2", "c3"})
    again = feed(unit, samples[60_000:])
    for rows, expected in zip(again, whole, strict=True):
        np.testing.assert_allclose(rows, expected[-len(rows) :], atol=2e-6)


def test_samples_are_divided_by_full_scale():
    (iq,) = feed(channelizer(0.25e6, (40e3, 12_500), full_scale=128.0), 128 * tone(0.16, 10_000))
    assert power_db(iq) == pytest.approx(0.0, abs=1e-3)


def test_a_channel_outside_the_band_is_refused():
    with pytest.raises(ValueError, match="channel 'c1'"):
        channelizer(0.25e6, (0, 12_500), (124_000, 12_500))


# ── the mean ──────────────────────────────────────────────────────────────────────────────


def test_the_first_means_are_averaged_alike():
    tracker = MeanTracker(nominal=0.0, max_deviation=10.0, time_constant=1e9)
    means = np.array([1.0 + 2j, 3.0, 2.0 - 5j])
    expected = np.cumsum(means) / np.arange(1, 4)
    np.testing.assert_allclose(tracker.track(means, 100), expected)


def test_a_step_of_the_mean_is_followed_with_the_time_constant():
    tracker = MeanTracker(nominal=5.0, max_deviation=10.0, time_constant=10_000)
    tracker.track(np.full(500, 5.0 + 5j), 100)
    after = tracker.track(np.full(100, 6.0 + 5j), 100)
    assert after[-1] == pytest.approx(6 - math.exp(-1) + 5j, abs=0.01)


def test_a_mean_that_no_converter_has_is_held_at_the_limit():
    tracker = MeanTracker(nominal=127.5, max_deviation=8.0, time_constant=100)
    assert tracker.track(np.array([200 + 100j]), 100) == pytest.approx([135.5 + 119.5j])


def test_an_untracked_mean_is_the_nominal_one():
    assert MeanTracker(nominal=127.5).track(np.array([3 + 4j, 5]), 9).tolist() == [
        127.5 + 127.5j,
        127.5 + 127.5j,
    ]
