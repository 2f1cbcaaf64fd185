from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.sources.kiwi_status import parse_status, place_in, place_of_configuration
from heimdall_edge.types import Place
from tests.fuzz.kiwi_status import one_input

PAGE = """status=active
offline=no
name=DF0KL | Borkum \u2063 island
sdr_hw=KiwiSDR 1 v1.690
bands=0-30000000
freq_offset=0.000
users=1
users_max=4
preempt=0
gps=(53.665337, 7.282766)
tdoa_ch=4
asl=7
sw_version=KiwiSDR_v1.690
antenna=loop=magnetic
"""


def page(**changes):
    lines = [line.partition("=") for line in PAGE.splitlines()]
    values = {key: value for key, _, value in lines} | changes
    return "\n".join(f"{key}={value}" for key, value in values.items())


def test_the_page_says_what_who_and_where():
    status = parse_status(PAGE)
    assert (status.name, status.antenna, status.version) == (
        "DF0KL | Borkum island",
        "loop=magnetic",
        "v1.690",
    )
    assert (status.users, status.users_max, status.gives_stamps) == (1, 4, True)
    assert (status.low_hz, status.high_hz) == (0.0, 30e6)
    assert status.place.place == Place(53.665337, 7.282766, 7.0)
    assert not status.place.is_coarse
    assert status.refusal(has_password=False) is None


def test_no_stamps_are_given_out_where_the_tdoa_channels_are_minus_one():
    assert not parse_status(page(tdoa_ch="-1")).gives_stamps
    assert parse_status(page(tdoa_ch="0")).gives_stamps


@pytest.mark.parametrize(
    ("changes", "has_password", "reason", "pause_s"),
    [
        ({"offline": "yes"}, True, "offline", 1800),
        ({"status": "offline"}, False, "offline", 1800),
        ({"users": "4"}, False, "all 4 channels are taken", 600),
        ({"auth": "password"}, False, "wants a password", 3600),
    ],
)
def test_the_page_alone_may_say_no(changes, has_password, reason, pause_s):
    refusal = parse_status(page(**changes)).refusal(has_password=has_password)
    assert reason in refusal.reason
    assert refusal.pause_s == pause_s


@pytest.mark.parametrize(
    ("changes", "has_password"),
    [
        ({"users": "4", "preempt": "1"}, False),  # its own decoder makes room
        ({"users": "4"}, True),  # channels with a password are not counted here
        ({"auth": "password"}, True),
        ({"status": "private"}, False),  # not listed in public: the operator's own, perhaps
        ({"users_max": "0"}, False),
    ],
)
def test_what_is_no_reason_to_stay_away(changes, has_password):
    assert parse_status(page(**changes)).refusal(has_password=has_password) is None


@pytest.mark.parametrize("text", ["", "<html>status</html>", "status=active", "a=b\n" * 1000])
def test_another_page_is_refused(text):
    with pytest.raises(ValueError, match="expected a KiwiSDR's /status"):
        parse_status(text)


@pytest.mark.parametrize(
    ("text", "is_coarse"),
    [
        ("(53.665337, 7.282766)", False),
        ("53.665337,7.282766", False),
        ("(53.67, 7.28)", True),
        ("(53.000000, 7.280000)", True),
        ("(-33.9, 151)", True),
    ],
)
def test_a_rounded_place_is_called_coarse(text, is_coarse):
    assert place_in(text, altitude_m=0).is_coarse is is_coarse


@pytest.mark.parametrize(
    "text",
    [
        "",
        "(0.0, 0.0)",
        "(91, 0)",
        "(50, 181)",
        "(nan, 1)",
        "(-37.631120, 176.172210)",  # what the software comes with
        "(-69.0, 90.0)",  # and what it says instead
        "50.0155 9.0108",
    ],
)
def test_a_place_that_is_none_is_left_out(text):
    assert place_in(text, altitude_m=0) is None


def test_an_absurd_height_is_left_out():
    assert place_in("(50.0155, 9.0108)", altitude_m=1e9).place.altitude_m == 0.0


def test_the_configuration_has_the_place_too():
    found = place_of_configuration('{"rx_gps": "(50.0155, 9.0108)", "rx_asl": 115, "x": [1]}')
    assert found.place == Place(50.0155, 9.0108, 115.0)
    assert place_of_configuration('{"rx_gps": 7, "rx_asl": "high"}') is None


@pytest.mark.parametrize("text", ["[]", "{", "[" * 100_000, "1"])
def test_a_configuration_that_is_no_object_is_refused(text):
    with pytest.raises(ValueError, match=r"JSON|xpect"):
        place_of_configuration(text)


@given(
    st.binary(max_size=100)
    | st.text(max_size=40).map(lambda t: (PAGE + t).encode("utf-8", "replace"))
)
def test_any_bytes_are_a_page_or_an_error(data):
    one_input(data)
