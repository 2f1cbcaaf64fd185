"""SoapySDR receivers, through the real library and a simulated device."""

# ruff: noqa: F401, F811  (fixtures come by import)
import logging
import threading
import time
from itertools import groupby, islice, pairwise

import numpy as np
import pytest

from heimdall_edge.config_receivers import Scan
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources import soapy
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S, Tunable
from heimdall_edge.sources.scan import ScanSource

from .contract import COMPONENTS, IQSourceContract, missing_before
from .live import FirstBlocks
from .soapy_fixtures import (
    CENTER_HZ,
    RATE_HZ,
    TONE_HZ,
    device_of,
    module_folder,
    receiver_of,
    source_of,
    sources_of,
)

BLOCK_SAMPLES = 65_536
FULL_SCALE = {"cu8": 127.5, "ci8": 128.0, "ci16_le": 32_768.0, "cf32_le": 1.0}


def read(source, n_blocks):
    """The first blocks of a source that is open."""
    return list(islice(source.blocks(), n_blocks))


def opened(source, n_blocks):
    source.open()
    return read(source, n_blocks)


def error_of(source):
    """What opening and reading a source ends with."""
    with pytest.raises(SourceError) as caught:
        opened(source, None)
    return caught.value


def iq_of(block):
    """complex128 [n_samples], full scale 1."""
    values = block.samples.astype(np.float64)
    iq = values[0::2] + 1j * values[1::2]
    if block.datatype == "cu8":
        iq -= 127.5 + 127.5j
    return iq / (block.full_scale or FULL_SCALE[block.datatype])


def peak_of(block):
    """Absolute frequency of the strongest line, Hz, and its amplitude, full scale 1."""
    iq = iq_of(block)
    window = np.hanning(len(iq))
    spectrum = np.abs(np.fft.fft(iq * window)) / window.sum()
    at = int(spectrum.argmax())
    return (
        block.center_freq_hz + np.fft.fftfreq(len(iq), 1 / block.sample_rate_hz)[at],
        spectrum[at],
    )


class TestASoapySourceKeepsTheContract(IQSourceContract):
    @pytest.fixture
    def source(self, device_of, source_of):
        device = device_of(overflow_every=1_400_000, overflow_samples=5_000)
        return FirstBlocks(source_of(device.args), 24)

    @pytest.fixture
    def lasting_source(self, device_of, source_of):
        device = device_of(hang_after=100_000)
        return source_of(device.args, timeouts={"stall_timeout_s": 60, "settle_s": 0.0})

    @pytest.fixture
    def counts(self):
        # Two blocks settle; the overflow comes after 86 reads of 16,384: in the middle of a block.
        return 23 * BLOCK_SAMPLES + BLOCK_SAMPLES // 2, 5_000


# ── samples ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("native", "datatype"),
    [("CU8", "cu8"), ("CS8", "ci8"), ("CS16", "ci16_le"), ("CF32", "cf32_le")],
)
def test_the_tone_is_found_at_its_frequency_in_each_native_format(
    device_of, source_of, native, datatype
):
    block = opened(source_of(device_of(format=native).args), 1)[0]
    assert block.datatype == datatype
    assert block.samples.dtype == np.dtype(COMPONENTS[datatype])
    frequency_hz, amplitude = peak_of(block)
    assert frequency_hz == pytest.approx(TONE_HZ, abs=RATE_HZ / BLOCK_SAMPLES)
    assert amplitude == pytest.approx(0.3, rel=0.02)
    assert block.full_scale is None


def test_a_format_that_is_asked_for_is_given_though_it_is_not_native(device_of, source_of):
    block = opened(source_of(device_of(format="CS16").args, format="CF32"), 1)[0]
    assert block.datatype == "cf32_le"
    assert peak_of(block)[1] == pytest.approx(0.3, rel=0.02)


def test_a_converter_of_twelve_bits_says_what_fills_it(device_of, source_of):
    block = opened(source_of(device_of(full_scale=2048).args), 1)[0]
    assert (block.datatype, block.full_scale) == ("ci16_le", 2048.0)
    assert peak_of(block)[1] == pytest.approx(0.3, rel=0.02)


def test_a_full_scale_of_almost_the_formats_own_is_the_formats_own(device_of, source_of):
    assert opened(source_of(device_of(full_scale=32_767).args), 1)[0].full_scale is None


@pytest.mark.parametrize(("rate_hz", "n_samples"), [(250e3, 12_500), (2.4e6, 65_536)])
def test_blocks_are_of_an_even_size(device_of, source_of, rate_hz, n_samples):
    blocks = opened(source_of(device_of().args, sample_rate_hz=rate_hz), 3)
    assert [block.n_samples for block in blocks] == 3 * [n_samples]
    assert {block.sample_rate_hz for block in blocks} == {rate_hz}


def test_the_first_tenth_of_a_second_is_thrown_away_and_counted(device_of, source_of):
    first = opened(source_of(device_of().args), 1)[0]
    assert 0.1 * RATE_HZ <= first.discarded_samples <= 0.2 * RATE_HZ
    assert first.sample_start == first.discarded_samples


def test_the_device_is_told_in_words(device_of, source_of):
    source = source_of(device_of().args, antenna="LNAH", gain_db=33.1)
    assert source.device is None
    source.open()
    assert source.device == (
        "HEIMDALLSIM, serial SIM0001, channel 0, antenna LNAH, gain 34.0 dB, 1 Msps CS16"
    )


# ── what is set ───────────────────────────────────────────────────────────────────────────


def test_everything_that_is_configured_is_set(device_of, source_of):
    device = device_of()
    source = source_of(
        device.args,
        channel=1,
        antenna="LNAH",
        gains={"LNA": 20, "VGA": 7},
        settings={"biastee": "true", "notch": "fm"},
        bandwidth_hz=600e3,
        ppm=12.5,
    )
    source.open()
    assert device.made == [
        "antenna 1 LNAH",
        "rate 1 1000000.000000",
        "bandwidth 1 600000.000000",
        "ppm 1 12.500000",
        "frequency 1 100000000.000000",
        "agc 1 false",
        "gain LNA 1 20.000000",
        "gain VGA 1 8.000000",
        "setting biastee 0 true",
        "channel setting notch 1 fm",
    ]


def test_the_gain_in_force_is_the_nearest_that_the_device_has(device_of, source_of):
    assert opened(source_of(device_of().args, gain_db=12.9), 1)[0].gain_db == 12.0


def test_a_gain_beyond_the_range_becomes_its_end(device_of, source_of):
    assert opened(source_of(device_of().args, gain_db=90.0), 1)[0].gain_db == 50.0


def test_an_automatic_gain_has_no_number(device_of, source_of):
    device = device_of()
    source = source_of(device.args, agc=True)
    assert opened(source, 1)[0].gain_db is None
    assert "automatic gain" in source.device
    assert "agc 0 true" in device.made


def test_the_correction_of_the_crystal_moves_the_tone_to_its_place(device_of, source_of):
    device = device_of(crystal_ppm=40)
    wrong = opened(source_of(device.args), 1)[0]
    right = opened(source_of(device.args, ppm=40), 1)[0]
    assert peak_of(wrong)[0] == pytest.approx(TONE_HZ - 4_000, abs=20)
    assert peak_of(right)[0] == pytest.approx(TONE_HZ, abs=20)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"antenna": "TX"}, "has no antenna 'TX': expected one of RX, LNAH"),
        ({"gains": {"IF": 3}}, "has no gains 'IF': expected one of LNA, VGA"),
        (
            {"settings": {"bias": "true"}},
            "has no settings 'bias': expected one of biastee, dither, notch",
        ),
        (
            {"sample_rate_hz": 500e3},
            "does not take sample_rate_hz = 500000: expected 250000–300000, 900000–10000000",
        ),
        (
            {"center_freq_hz": 9e9},
            "does not take center_freq_hz = 9000000000: expected 1000000–6000000000",
        ),
        (
            {"bandwidth_hz": 9e6},
            "does not take bandwidth_hz = 9000000: expected 200000–8000000",
        ),
        ({"channel": 2}, "has no channel 2: it has 2, counted from 0"),
    ],
)
def test_what_the_device_does_not_have_is_refused_with_what_it_has(
    device_of, source_of, settings, message
):
    device = device_of()
    error = error_of(source_of(device.args, **settings))
    assert type(error) is SourceDataError
    assert str(error) == f"SoapySDR {device.args}: {message}"


def test_a_driver_that_nobody_has_is_waited_for(module_folder, source_of):
    error = error_of(source_of("driver=nosuch"))
    assert not isinstance(error, SourceDataError)
    assert "SoapySDR driver=nosuch: cannot be opened" in str(error)
    assert "soapysdr-module" in str(error)


# ── losses ────────────────────────────────────────────────────────────────────────────────


def lost_with(device, source, order, n_blocks=6):
    """Blocks from an order on, once the device's time is believed."""
    read(source, 20)
    order(device)
    return read(source, n_blocks)


@pytest.mark.parametrize("native", ["CU8", "CS8", "CS16", "CF32"])
def test_an_overflow_is_counted_to_the_sample(device_of, source_of, native):
    device = device_of(format=native)
    source = source_of(device.args)
    source.open()
    blocks = lost_with(device, source, lambda d: d.overflow(12_345))
    assert sum(block.lost_samples for block in blocks) == 12_345


def test_a_loss_that_only_the_devices_time_tells_is_counted_to_the_sample(device_of, source_of):
    device = device_of()
    source = source_of(device.args)
    source.open()
    blocks = lost_with(device, source, lambda d: d.lose(4_321))
    assert sum(block.lost_samples for block in blocks) == 4_321
    for before, block in pairwise(blocks):
        end = before.sample_start + before.n_samples
        assert block.sample_start == end + missing_before(block)


def test_the_tones_phase_goes_on_across_a_gap(device_of, source_of):
    """The count of lost samples is right to the sample: the tone says so itself."""
    device = device_of(noise=0)
    source = source_of(device.args)
    source.open()
    blocks = lost_with(device, source, lambda d: d.overflow(10_001))
    gap = next(i for i, block in enumerate(blocks) if block.lost_samples)
    before, after = blocks[gap - 1], blocks[gap]
    turns = (TONE_HZ - CENTER_HZ) / RATE_HZ * (after.sample_start - before.sample_start)
    expected = iq_of(before)[0] * np.exp(2j * np.pi * turns)
    assert iq_of(after)[0] == pytest.approx(expected, abs=0.001)


def test_a_corrupted_read_that_lost_nothing_loses_nothing(device_of, source_of):
    device = device_of()
    source = source_of(device.args)
    source.open()
    blocks = lost_with(device, source, lambda d: d.corrupt())
    assert sum(block.lost_samples for block in blocks) == 0


def test_a_jump_of_the_devices_time_is_no_loss(device_of, source_of):
    device = device_of()
    source = source_of(device.args)
    source.open()
    blocks = lost_with(device, source, lambda d: d.jump(10**15))
    assert sum(block.lost_samples for block in blocks) == 0


def test_an_overflow_of_unknown_length_is_told_and_left_to_the_clock(device_of, source_of, caplog):
    device = device_of(time=0)
    source = source_of(device.args)
    source.open()
    with caplog.at_level(logging.WARNING):
        blocks = lost_with(device, source, lambda d: d.overflow(2_000))
    assert "overflow_of_unknown_length" in caplog.text
    assert len(blocks) == 6


def test_the_devices_time_is_never_taken_for_utc(device_of, source_of):
    block = opened(source_of(device_of().args), 1)[0]
    assert abs(block.start_utc_ns - time.time_ns()) < 2e9


# ── tuning ────────────────────────────────────────────────────────────────────────────────


def test_it_is_tuned_while_it_runs(device_of, source_of):
    source = source_of(device_of().args)
    assert isinstance(source, Tunable)
    (before,) = opened(source, 1)
    source.tune(100.1e6)
    (after,) = read(source, 1)
    assert (before.center_freq_hz, after.center_freq_hz) == (CENTER_HZ, 100.1e6)
    assert after.discarded_samples >= 0.1 * RATE_HZ
    assert after.sample_start == before.sample_start + BLOCK_SAMPLES + missing_before(after)
    assert peak_of(after)[0] == pytest.approx(TONE_HZ, abs=20)


def test_of_several_tunings_the_last_one_counts(device_of, source_of):
    source = source_of(device_of().args)
    opened(source, 1)
    source.tune(200e6)
    source.tune(CENTER_HZ)
    source.tune(300e6)
    assert {block.center_freq_hz for block in read(source, 2)} == {300e6}


def test_tuning_to_where_it_is_changes_nothing(device_of, source_of):
    source = source_of(device_of().args)
    opened(source, 1)
    source.tune(CENTER_HZ)
    assert read(source, 1)[0].discarded_samples == 0


def test_tuning_to_where_it_cannot_be_tuned_is_refused(device_of, source_of):
    source = source_of(device_of().args)
    source.open()
    with pytest.raises(
        SourceDataError, match="tuned to 9000000000 Hz: expected 1000000–6000000000"
    ):
        source.tune(9e9)


def test_it_hops_over_several_centres(device_of, source_of):
    scan = Scan(centers_hz=(100e6, 100.2e6, 300e6), dwell_s=0.2)
    inner = source_of(device_of().args, center_freq_hz=100e6)
    source = ScanSource.of(inner, scan)
    blocks = opened(source, 12)
    centers_hz = [block.center_freq_hz for block in blocks]
    assert [center for center, _ in groupby(centers_hz)][:3] == [100e6, 100.2e6, 300e6]
    for block in blocks:
        if block.center_freq_hz < 200e6:
            assert peak_of(block)[0] == pytest.approx(TONE_HZ, abs=20)
        else:
            assert peak_of(block)[1] < 0.01
    for before, block in pairwise(blocks):
        end = before.sample_start + before.n_samples
        assert block.sample_start == end + missing_before(block)


def test_a_tuning_that_fails_is_an_error(device_of, source_of):
    source = source_of(device_of(tune_fails_above=1e9).args)
    opened(source, 1)
    source.tune(2e9)
    with pytest.raises(SourceError, match="cannot be tuned: setFrequency: heimdallsim: no lock"):
        read(source, 100)


def test_a_tuning_that_never_returns_is_given_up(device_of, source_of, monkeypatch):
    monkeypatch.setattr(soapy, "TUNE_TIMEOUT_S", 0.3)
    source = source_of(device_of(tune_hangs_above=1e9).args)
    opened(source, 1)
    source.tune(2e9)
    with pytest.raises(SourceError, match=r"did not answer to tuning for 0\.3 s"):
        read(source, 100)
    closed_at_s = time.monotonic()
    source.close()
    assert time.monotonic() - closed_at_s < CLOSE_TIMEOUT_S


def test_a_source_that_is_not_open_is_neither_read_nor_tuned(device_of, source_of):
    source = source_of(device_of().args)
    with pytest.raises(SourceError, match="not open"):
        source.tune(1e8)
    with pytest.raises(SourceError, match="not open"):
        next(source.blocks())


# ── failures ──────────────────────────────────────────────────────────────────────────────


def test_a_device_that_dies_says_so(device_of, source_of):
    error = error_of(source_of(device_of(die_after=300_000).args))
    assert str(error).endswith("readStream: stream error")
    assert not isinstance(error, SourceDataError)


def test_a_driver_that_hangs_in_a_read_is_killed(device_of, source_of):
    source = source_of(device_of(hang_after=300_000).args, timeouts={"stall_timeout_s": 0.5})
    error = error_of(source)
    assert "gave no samples for 0.5 s; its driver was killed" in str(error)


def test_a_device_that_stalls_is_given_up(device_of, source_of):
    device = device_of()
    source = source_of(device.args, timeouts={"stall_timeout_s": 0.5})
    source.open()
    read(source, 1)
    device.stall()
    with pytest.raises(SourceError, match="gave no samples"):
        read(source, 1000)


def test_a_driver_that_crashes_takes_its_own_process_alone(device_of, source_of):
    assert "SIGSEGV" in str(error_of(source_of(device_of(crash_after=300_000).args)))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fail", "cannot be opened: makeStrArgs: heimdallsim: asked to fail in open"),
        ("hang", "did not open for 1 s"),
        ("crash", "SIGSEGV"),
    ],
)
def test_a_device_that_does_not_open_is_a_clear_error(device_of, source_of, fault, message):
    device = device_of()
    device.open_fault = fault
    error = error_of(source_of(device.args, timeouts={"open_timeout_s": 1.0}))
    assert message in str(error)
    assert not isinstance(error, SourceDataError)


def test_a_new_source_recovers_after_each_failure(device_of, source_of):
    device = device_of()
    for order in (device.die, device.crash, device.hang):
        source = source_of(device.args, timeouts={"stall_timeout_s": 0.5})
        source.open()
        read(source, 1)
        order()
        with pytest.raises(SourceError):
            read(source, 1000)
        source.close()
    assert len(opened(source_of(device.args), 3)) == 3


def test_close_ends_an_opening_that_hangs(device_of, source_of):
    device = device_of()
    device.open_fault = "hang"
    source = source_of(device.args)
    errors = []

    def open_it():
        try:
            source.open()
        except SourceError as error:
            errors.append(error)

    opener = threading.Thread(target=open_it)
    opener.start()
    time.sleep(0.3)
    closed_at_s = time.monotonic()
    source.close()
    opener.join(CLOSE_TIMEOUT_S)
    assert not opener.is_alive()
    assert time.monotonic() - closed_at_s < CLOSE_TIMEOUT_S
    assert len(errors) == 1
