"""The bytes of rtl_tcp."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.rtl_tcp_protocol import (
    Dongle,
    Operation,
    command,
    parse_header,
    refuse_extended,
)

from ..fuzz import rtl_tcp_header


def test_a_header_names_the_tuner_and_its_gain_steps():
    dongle = parse_header(b"RTL0\x00\x00\x00\x05\x00\x00\x00\x1d")
    assert dongle == Dongle(tuner_type=5, n_gains=29)
    assert dongle.tuner == "R820T"
    assert dongle.takes_commands


@pytest.mark.parametrize(
    ("tuner_type", "name"),
    [(0, "unknown tuner"), (1, "E4000"), (5, "R820T"), (6, "R828D"), (77, "unknown tuner 77")],
)
def test_each_tuner_has_a_name(tuner_type, name):
    assert Dongle(tuner_type, 1).tuner == name


def test_gain_steps_are_the_tuners_where_their_number_agrees():
    assert len(Dongle(5, 29).gain_steps_tenth_db) == 29
    assert Dongle(5, 28).gain_steps_tenth_db == ()  # SDRplay's rsp_tcp
    assert Dongle(77, 1).gain_steps_tenth_db == ()


def test_a_server_without_gain_steps_follows_no_command():
    assert not parse_header(b"RTL0" + struct.pack(">II", 5, 0)).takes_commands


@pytest.mark.parametrize(
    ("data", "message", "pause_s"),
    [
        (b"\x7f\x80\x84\x84" * 3, "samples without a header, so an old or foreign server", 60),
        (b"HTTP/1.1 400", r"no rtl_tcp: it begins with b'HTTP/1.1 400'", 60),
        (b"SDRA\0\0\0\0\0\0\0\0", "SDRangel's own protocol.*choose RTL0", 60),
        (b"RTL0\0", r"half a header \(5 of 12 bytes\)", 0),
        (b"RT", r"half a header \(2 of 12 bytes\)", 0),
        (b"RTL1\0\0\0\0\0\0\0\0", "no rtl_tcp", 60),
    ],
)
def test_what_is_no_header_is_refused_by_what_it_is(data, message, pause_s):
    with pytest.raises(SourceError, match=message) as caught:
        parse_header(data)
    assert caught.value.pause_s == pause_s
    assert not isinstance(caught.value, SourceDataError)


def test_the_extended_header_of_rsp_tcp_is_not_taken_for_samples():
    with pytest.raises(SourceError, match="start it without -E"):
        refuse_extended(b"RSP0\0\0\0\1")
    refuse_extended(b"RSP1")
    refuse_extended(b"")


@pytest.mark.parametrize(
    ("operation", "parameter", "data"),
    [
        (Operation.CENTER_FREQ, 446_100_000, "01 1a96 f220"),
        (Operation.SAMPLE_RATE, 2_400_000, "02 0024 9f00"),
        (Operation.PPM, -1, "05 ffff ffff"),
        (Operation.TUNER_GAIN, -10, "04 ffff fff6"),
        (Operation.BANDWIDTH, 200_000, "40 0003 0d40"),
    ],
)
def test_a_command_is_five_bytes(operation, parameter, data):
    assert command(operation, parameter) == bytes.fromhex(data)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_header_or_refused(data):
    rtl_tcp_header.one_input(data)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_any_numbers_in_a_header_are_read(tuner_type, n_gains):
    dongle = parse_header(b"RTL0" + struct.pack(">II", tuner_type, n_gains))
    assert dongle == Dongle(tuner_type, n_gains)
    assert dongle.tuner
