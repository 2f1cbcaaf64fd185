from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.sources.openwebrx_protocol import (
    Backoff,
    ConfigChange,
    Details,
    Fault,
    SMeter,
    greeting,
    read_text,
    server_version,
    tuning,
)
from heimdall_edge.sources.openwebrx_rows import Band
from heimdall_edge.types import Place
from tests.fuzz import openwebrx as fuzz


def text(kind: str, value: object = None, **more: object) -> str:
    return json.dumps({"type": kind, "value": value, **more})


def test_the_greeting_tells_the_software_and_its_version():
    said = "CLIENT DE SERVER server=openwebrx version=v1.2.82"
    assert server_version(said) == "openwebrx v1.2.82"
    assert server_version("CLIENT DE SERVER") == "unknown"


@pytest.mark.parametrize("said", ["", "HTTP/1.1 200", "CLIENT DE", '{"type":"config"}'])
def test_another_greeting_is_refused(said):
    with pytest.raises(ValueError, match="expected 'CLIENT DE SERVER"):
        server_version(said)


def test_a_configuration_comes_in_parts_that_add_up():
    band = Band()
    for value in (
        {"fft_size": 4096, "fft_compression": "adpcm", "max_clients": 20},
        {"center_freq": 145e6, "samp_rate": 2_400_000, "sdr_id": "a", "profile_id": "2m"},
    ):
        assert not band.is_whole
        change = read_text(text("config", value))
        assert isinstance(change, ConfigChange)
        band = change.applied_to(band)
    assert band == Band(145e6, 2.4e6, 4096, "adpcm", "a|2m")
    assert band.is_whole
    assert band.edges_hz == (143.8e6, 146.2e6)
    assert band.bin_hz == 585.9375


def test_a_value_that_is_taken_back_leaves_the_band_unknown():
    change = read_text(text("config", {"center_freq": None}))
    assert not change.applied_to(Band(145e6, 2.4e6, 4096, "none")).is_whole


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([], r"config is \[\]"),
        ({"center_freq": "145"}, "config.center_freq is '145'"),
        ({"samp_rate": 0}, "config.samp_rate is 0"),
        ({"samp_rate": 1e300}, "config.samp_rate is 1e\\+300"),
        ({"fft_size": 1e9}, "config.fft_size is 1000000000"),
        ({"fft_size": 100.5}, "config.fft_size is 100.5: expected a whole number"),
        ({"fft_compression": "gzip"}, "config.fft_compression is 'gzip'"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_by_name(value, why):
    with pytest.raises(ValueError, match=why):
        read_text(text("config", value))


def test_the_s_meter_is_a_linear_power():
    assert read_text(text("smeter", 1e-6)) == SMeter(pytest.approx(-60))
    assert read_text(text("smeter", 0)) == SMeter(pytest.approx(-200))
    for value in (-1, "1", None, 1e40):
        with pytest.raises(ValueError, match="smeter is"):
            read_text(text("smeter", value))


def test_other_texts_of_interest():
    gps = {"receiver_gps": {"lat": 45.0, "lon": 7.0}, "receiver_asl": 300}
    assert read_text(text("receiver_details", gps)) == Details(Place(45.0, 7.0, 300.0), None)
    assert read_text(text("receiver_details", {})) == Details(None, None)
    for session, session_s in ((0, None), (3600, 3600.0), ("1 h", None)):
        details = read_text(text("receiver_details", {"session_timeout": session}))
        assert details == Details(None, session_s)
    assert read_text(text("backoff", reason="Too many clients")) == Backoff("Too many clients")
    assert read_text(text("sdr_error", "none")) == Fault("sdr_error", "none")
    assert read_text(text("cpuusage", 0.3)) is None
    assert read_text("{}") is None


def test_tuning_never_selects_a_profile_and_opens_the_squelch():
    said = [
        json.loads(t) for t in tuning(offset_hz=12.5e3, half_width_hz=5e3, output_rate_hz=12000)
    ]
    assert [s["type"] for s in said] == ["connectionproperties", "dspcontrol", "dspcontrol"]
    assert said[1]["params"] == {
        "low_cut": -5000,
        "high_cut": 5000,
        "offset_freq": 12500,
        "mod": "nfm",
        "squelch_level": -150,
        "secondary_mod": False,
    }
    assert said[2] == {"type": "dspcontrol", "action": "start"}
    assert greeting("x/1") == "SERVER DE CLIENT client=x/1 type=receiver"


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "value", "reason", "center_freq", "samp_rate", "fft_size", "profile_id"]
            ),
            inner,
            max_size=5,
        )
    ),
)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["config", "smeter", "receiver_details", "backoff", "sdr_error", "x"]),
    json_values,
)
def test_whatever_json_says_it_is_read_or_refused(kind, value):
    with contextlib.suppress(ValueError):
        message = read_text(json.dumps({"type": kind, "value": value, "reason": value}))
        assert message is None or kind != "x"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_do_no_harm(data):
    fuzz.one_input(data)
