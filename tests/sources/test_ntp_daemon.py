"""What an NTP daemon says of its own clock."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.sources.ntp_daemon import ask_ntp_daemon, ntp_request, parse_ntp
from tests.fuzz.ntp_daemon import one_input

from .chronyd import asked_until, chronyd, tell_time
from .test_datagram import answering

COOKIE = b"12345678"


def reply(*, leap=0, mode=4, stratum=1, delay=0x8000, dispersion=0x4000, name=b"GPS\0", to=COOKIE):
    first = leap << 6 | 4 << 3 | mode
    head = struct.pack(">BBbbiI4s", first, stratum, 6, -20, delay, dispersion, name)
    return head + bytes(8) + to + bytes(16)


def test_an_answer_is_read_field_by_field():
    status = parse_ntp(reply(), cookie=COOKIE)
    assert status.is_synchronised
    assert status.reference_name == "GPS"
    assert (status.root_delay_s, status.root_dispersion_s) == (0.5, 0.25)


def test_the_reference_id_of_a_server_s_server_is_an_address_and_no_name():
    status = parse_ntp(reply(stratum=2), cookie=COOKIE)
    assert status.is_synchronised
    assert status.reference_name == ""


@pytest.mark.parametrize(
    "change", [{"leap": 3}, {"stratum": 0}, {"stratum": 16}, {"name": b"LOCL"}]
)
def test_a_clock_that_follows_nobody_is_not_synchronised(change):
    assert not parse_ntp(reply(**change), cookie=COOKIE).is_synchronised


@pytest.mark.parametrize("change", [{"mode": 3}, {"mode": 5}, {"to": b"87654321"}])
def test_anything_but_the_answer_to_our_question_is_none(change):
    assert parse_ntp(reply(**change), cookie=COOKIE) is None
    assert parse_ntp(reply()[:-1], cookie=COOKIE) is None


@given(st.one_of(st.binary(max_size=100), st.binary(min_size=47, max_size=47).map(b"\x24".__add__)))
def test_any_bytes_are_taken(data):
    one_input(data)


def test_a_server_that_answers_is_asked_once():
    with answering(lambda asked: reply(stratum=3, to=asked[40:48])) as address:
        assert ask_ntp_daemon(addresses=[address], timeout_s=10.0).stratum == 3


def test_a_request_is_a_client_s_of_version_four():
    assert ntp_request(COOKIE) == b"\x23" + bytes(39) + COOKIE


def test_a_real_daemon_that_follows_a_gnss_receiver_says_so(tmp_path):
    gnss = tmp_path / "gnss.sock"
    with chronyd(tmp_path, f"refclock SOCK {gnss} refid GPS poll 0 filter 1") as (_, port):
        status = asked_until(
            lambda: ask_ntp_daemon(addresses=[("127.0.0.1", port)], timeout_s=1.0),
            lambda said: said.is_synchronised,
            meanwhile=lambda: tell_time(gnss, offset_s=1e-6),
        )
    assert status.stratum == 1
    assert status.reference_name == "GPS"
    assert 0 <= status.root_dispersion_s < 0.1
