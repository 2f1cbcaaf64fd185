from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.sources.kiwi_frames import Flag, parse_sound
from heimdall_edge.sources.kiwi_stamps import NO_STAMP
from tests.fuzz.kiwi_sound import one_input

SAMPLES = bytes(range(256)) * 8


def message(*, flags=0x08, sequence=7, meter=300, age_s=3, second=124_934, ns=171_899_011):
    header = b"SND" + struct.pack("<BI", flags, sequence) + struct.pack(">H", meter)
    return header + struct.pack("<BBII", age_s, 0, second, ns) + SAMPLES


def test_a_frame_is_read_byte_for_byte():
    # Written out by hand from the table in the specification.
    frame = parse_sound(
        b"SND\x08\x04\x03\x02\x01\x01\x2c\x05\x00\x06\xe8\x01\x00\x03\x00\x00\x00\x00\x01\xff\xfe"
    )
    assert frame.flags == Flag.IQ
    assert frame.sequence == 0x01020304
    assert frame.smeter_dbm == pytest.approx(-97.0, abs=0.06)
    assert (frame.age_s, frame.stamp_ns) == (5, 124_934 * 10**9 + 3)
    assert (frame.datatype, frame.n_samples, frame.payload) == ("ci16_be", 1, b"\x00\x01\xff\xfe")


def test_512_pairs_are_512_samples():
    frame = parse_sound(message())
    assert (frame.n_samples, frame.payload) == (512, SAMPLES)


@pytest.mark.parametrize(
    ("values", "stamp_ns"),
    [
        ({}, 124_934_171_899_011),
        ({"age_s": 0, "second": 0, "ns": 0}, NO_STAMP),  # its owner gives none out
        ({"age_s": 255}, NO_STAMP),  # it never knew where it is
        ({"second": 604_800}, NO_STAMP),
        ({"second": 604_799, "ns": 999_999_999}, 604_799_999_999_999),
        ({"ns": 10**9}, NO_STAMP),
        ({"second": 0, "ns": 1}, 1),  # the week has just begun
    ],
)
def test_a_stamp_counts_where_it_is_one(values, stamp_ns):
    assert parse_sound(message(**values)).stamp_ns == stamp_ns


@pytest.mark.parametrize(
    ("values", "level_dbm"),
    [
        ({"meter": 1}, -126.85),
        ({"meter": 1270}, 0.05),
        ({"meter": 0}, None),
        ({"meter": 1304}, None),
        ({"meter": 65_535}, None),
        ({"flags": 0x0A}, None),
    ],
)
def test_the_meter_says_nothing_at_its_limits_and_while_the_converter_overflows(values, level_dbm):
    level = parse_sound(message(**values)).smeter_dbm
    assert level == (None if level_dbm is None else pytest.approx(level_dbm))


def test_little_endian_samples_are_named_so():
    assert parse_sound(message(flags=0x88)).datatype == "ci16_le"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"", "expected 'SND'"),
        (message()[:19], "20 bytes of header"),
        (message()[:20], "0 bytes of samples"),
        (message()[:-1], "2047 bytes of samples"),
        (b"W/F" + message()[3:], "begins with b'W/F"),
        (message(flags=0x00), "flags 0x00; expected IQ"),
        (message(flags=0x18), "not compressed"),
        (message() + bytes(1 << 20), "bytes of samples"),
    ],
)
def test_what_is_no_frame_of_iq_is_refused_with_what_was_expected(bad, why):
    with pytest.raises(ValueError, match=why):
        parse_sound(bad)


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda b: b"SND\x08" + b))
def test_any_bytes_are_a_frame_or_an_error(data):
    one_input(data)
