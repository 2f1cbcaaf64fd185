from __future__ import annotations

import os
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.sources.websdr_protocol import SiteBand, Sound, read_page, read_sound, tuning
from heimdall_edge.types import ChannelSpec
from tests.emulators.websdr_server import WebSdrServer
from tests.fuzz import websdr as fuzz


def channel(frequency_hz: float, bandwidth_hz: float = 12.5e3) -> ChannelSpec:
    return ChannelSpec("c", frequency_hz, bandwidth_hz)


def test_a_page_tells_its_bands_and_when_to_leave():
    page = read_page(WebSdrServer().page("/tmp/bandinfo.js").decode())
    assert page.bands == (
        SiteBand(0, "40m", 7.1e6, 192e3),
        SiteBand(1, "2m", 145e6, 2.048e6),
    )
    assert page.idle_timeout_s == 14_400.0
    assert page.band_of(channel(145.5e6)) is page.bands[1]
    assert page.band_of(channel(7.19e6, 2e3)) is page.bands[0]
    assert page.band_of(channel(7.19e6, 20e3)) is None
    assert str(page.bands[0]) == "0 40m 7100.0 kHz ± 96.0"


@pytest.mark.parametrize("more", ["", "var idletimeout=0;", "var idletimeout='long';"])
def test_a_page_may_have_no_idle_time_out(more):
    page = read_page("var bandinfo=[{centerfreq: 1, samplerate: 2}];" + more)
    assert page.idle_timeout_s is None
    assert page.bands == (SiteBand(0, "", 1e3, 2e3),)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("<html>", "without bandinfo"),
        ("bandinfo=[]", "no list of 1 to 64"),
        ("bandinfo=5", "no list of 1 to 64"),
        ("bandinfo=[5]", "band 0 is 5.0: expected a JSON object"),
        ("bandinfo=[{samplerate: 1}]", "centerfreq is None"),
        ("bandinfo=[{centerfreq: 1, samplerate: 'x'}]", "samplerate is 'x'"),
    ],
)
def test_another_page_is_refused_with_words(script, why):
    with pytest.raises(ValueError, match=why):
        read_page(script)


def test_readings_are_taken_up_to_the_first_coded_block():
    message = b"\xf1\x00" + b"\x83\x02" + b"\x80" + bytes(128) + b"\xf0\x0a" + b"\x95\xf7\xff"
    assert read_sound(message) == Sound((pytest.approx(-101.4), pytest.approx(-126.0)))


@pytest.mark.parametrize(
    "item",
    [
        b"\x82\x00\x10",
        b"\x84",
        b"\x85" + bytes(6),
        b"\x86",
        b"\x87" + bytes(6),
    ],
)
def test_items_that_are_known_are_passed_over(item):
    assert read_sound(item + b"\xf0\x0a").levels_db == (pytest.approx(-126.0),)


def test_a_sample_rate_is_told_and_nought_is_told_as_nought():
    assert read_sound(b"\x81\x1f\x40").sample_rate_hz == 8000
    assert read_sound(b"\x81\x00\x00").sample_rate_hz == 0


@pytest.mark.parametrize("message", [b"", b"\xf0", b"\x81\x1f", b"\x80" + bytes(100), b"\x00"])
def test_what_is_cut_off_or_coded_says_nothing(message):
    assert read_sound(message) == Sound()


@pytest.mark.parametrize(
    ("message", "why"), [(b"\x88\x00", "kind 0x88"), (b"\xe5", "0xe5"), (bytes(70_000), "70000")]
)
def test_unknown_items_and_absurd_sizes_are_refused(message, why):
    with pytest.raises(ValueError, match=why):
        read_sound(message)


@pytest.mark.parametrize(
    ("mode", "f", "lo", "hi", "number"),
    [
        ("fm", "145012.500", "-6.250", "6.250", "4"),
        ("am", "145012.500", "-6.250", "6.250", "1"),
        ("usb", "145006.250", "0.000", "12.500", "0"),
        ("lsb", "145018.750", "-12.500", "0.000", "0"),
    ],
)
def test_tuning_lays_the_filter_evenly_about_the_channel(mode, f, lo, hi, number):
    text = tuning(channel(145.0125e6), band=1, mode=mode, name="heimdall edge")
    assert text.startswith("GET /~~param?")
    said = {key: value for key, (value,) in parse_qs(urlsplit(text[4:]).query).items()}
    assert said == {
        "f": f,
        "band": "1",
        "lo": lo,
        "hi": hi,
        "mode": number,
        "name": "heimdall edge",
    }


def test_a_carrier_in_cw_is_heard_at_a_pitch():
    said = parse_qs(urlsplit(tuning(channel(7.03e6, 500), band=0, mode="cw", name="x")[4:]).query)
    assert (said["f"], said["lo"], said["hi"]) == (["7029.250"], ["0.500"], ["1.000"])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_do_no_harm(data):
    fuzz.one_input(data)


def test_the_emulator_s_messages_are_read():
    server = WebSdrServer()
    for _ in range(100):
        assert len(read_sound(server._message(0.0, 0.05)).levels_db) == 1
    assert read_sound(b"\x91" + os.urandom(100)) == Sound()
