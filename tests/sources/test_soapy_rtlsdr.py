"""Debian's SoapyRTLSDR on an emulated USB bus: a driver that was written by others."""

# ruff: noqa: F401, F811  (fixtures come by import)
import time
from itertools import islice
from pathlib import Path

import pytest

from heimdall_edge.errors import SourceDataError, SourceError

from ..emulators.usb_dongles import Dongle, Tone, UsbDongles
from .soapy_fixtures import source_of, sources_of
from .test_soapy import peak_of

MODULE = "SoapySDR/modules0.8/librtlsdrSupport.so"
RATE_HZ = 1.024e6
CENTER_HZ = 100e6
TONE_HZ = 100.2e6
PLL_ERROR_HZ = 500
"""The tuner's real steps: tens to hundreds of Hz."""
SERIAL = "00000042"
ARGS = f"driver=rtlsdr,serial={SERIAL}"


@pytest.fixture
def usb(monkeypatch):
    """A bus with two dongles, for the processes that are started from now on."""
    if not any(Path("/usr/lib").glob(f"*/{MODULE}")):
        pytest.skip("needs SoapyRTLSDR: apt-get install soapysdr-module-rtlsdr")
    tones = (Tone(TONE_HZ, 40.0),)
    with UsbDongles([Dongle("00000001"), Dongle(SERIAL, tones=tones)]) as usb:
        for name, value in usb.environment.items():
            monkeypatch.setenv(name, value)
        yield usb


@pytest.fixture
def dongle_of(usb, source_of):
    def make(args=ARGS, **settings):
        timeouts = {"stall_timeout_s": 1.0, "open_timeout_s": 5.0}
        settings = {"sample_rate_hz": RATE_HZ, "gain_db": 28.0, **settings}
        return source_of(args, timeouts=timeouts, **settings)

    return make


def read(source, n_blocks):
    return list(islice(source.blocks(), n_blocks))


def test_the_tone_is_found_by_a_dongle_that_is_named_by_its_serial(usb, dongle_of):
    source = dongle_of()
    source.open()
    blocks = read(source, 40)
    assert peak_of(blocks[-1])[0] == pytest.approx(TONE_HZ, abs=PLL_ERROR_HZ)
    assert usb.told(SERIAL).center_hz == pytest.approx(CENTER_HZ, abs=PLL_ERROR_HZ)
    assert usb.told("00000001").center_hz != pytest.approx(CENTER_HZ, abs=PLL_ERROR_HZ)
    assert {block.datatype for block in blocks} == {"ci8"}
    assert sum(block.lost_samples for block in blocks) == 0  # though its time counts bytes


def test_what_the_dongle_loses_in_silence_is_found_by_the_clock(usb, dongle_of):
    source = dongle_of()
    source.open()
    read(source, 40)
    usb.lose(SERIAL, 500_000)
    lost = sum(block.lost_samples for block in read(source, 110))
    assert lost == pytest.approx(500_000, rel=0.1)


def test_this_driver_says_of_the_gain_what_it_was_told(usb, dongle_of):
    """Not the tuner's step, which is the next one above: ask for a step, or use kind rtlsdr."""
    source = dongle_of(gain_db=30.0)
    source.open()
    (block,) = read(source, 1)
    assert block.gain_db == 30.0
    assert usb.told(SERIAL).gain_db == pytest.approx(32.8)
    assert source.device == "R820T, channel 0, gain 30.0 dB, 1.024 Msps CS8"


def test_its_settings_go_by_name(usb, dongle_of):
    dongle_of(settings={"biastee": "true"}).open()
    assert usb.told(SERIAL).bias_tee
    with pytest.raises(SourceDataError, match=r"has no settings 'bias': expected one of .*biastee"):
        dongle_of(args="driver=rtlsdr,serial=00000001", settings={"bias": "true"}).open()


def test_its_time_counts_samples_and_is_never_utc(dongle_of):
    source = dongle_of()
    source.open()
    (block,) = read(source, 1)
    assert abs(block.start_utc_ns - time.time_ns()) < 2e9


def test_it_is_tuned_while_it_runs(dongle_of):
    source = dongle_of()
    source.open()
    read(source, 2)
    source.tune(CENTER_HZ + 300e3)
    after = read(source, 2)[-1]
    assert after.center_freq_hz == pytest.approx(CENTER_HZ + 300e3, abs=PLL_ERROR_HZ)
    assert peak_of(after)[0] == pytest.approx(TONE_HZ, abs=PLL_ERROR_HZ)


@pytest.mark.parametrize("fault", ["unplug", "stall", "crash"])
def test_a_dongle_that_fails_is_found_again(usb, dongle_of, fault):
    source = dongle_of()
    source.open()
    read(source, 2)
    getattr(usb, fault)(SERIAL)
    failed_at_s = time.monotonic()
    with pytest.raises(SourceError) as caught:
        read(source, 10_000)
    assert time.monotonic() - failed_at_s < 4.0
    assert not isinstance(caught.value, SourceDataError)
    source.close()
    usb.replug(SERIAL, port=7)
    again = dongle_of()
    again.open()
    assert len(read(again, 3)) == 3


def test_a_dongle_that_another_program_has_is_waited_for(usb, dongle_of):
    usb.hold_elsewhere(SERIAL)
    with pytest.raises(SourceError, match="cannot be opened") as caught:
        dongle_of().open()
    assert not isinstance(caught.value, SourceDataError)
