"""chronyd's tracking report, by its own protocol."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.sources.chrony import (
    TRACKING_BYTES,
    ask_chrony,
    parse_tracking,
    tracking_request,
    wire_float,
)
from tests.fuzz.chrony import one_input

from .chronyd import asked_until, chronyd, tell_time
from .test_datagram import answering

HEADER = struct.pack(">BBHHHH6xI8x", 6, 2, 0, 33, 5, 0, 7)


def as_wire_float(value: float) -> int:
    """The encoder of the specification: 25 bits of coefficient, signed, and an exponent."""
    if value == 0:
        return 0
    mantissa, exponent = math.frexp(abs(value))
    coefficient = round(mantissa * 2**24) * (1 if value > 0 else -1)
    return ((exponent + 1) & 0x7F) << 25 | coefficient & (1 << 25) - 1


def reply(*, ref_id=0x47505300, family=0, stratum=1, leap=0, floats=(0.0,) * 9) -> bytes:
    body = struct.pack(">I16sHxxHH3I", ref_id, bytes(16), family, stratum, leap, 0, 0, 0)
    return HEADER + body + struct.pack(">9I", *(as_wire_float(f) for f in floats))


def test_a_reply_is_read_field_by_field():
    floats = (1e-3, -2e-4, 3e-4, -12.5, 0.1, 0.05, 0.02, 0.004, 64.0)
    tracking = parse_tracking(
        reply(ref_id=0xC0000207, family=1, stratum=3, floats=floats), sequence=7
    )
    assert tracking.is_synchronised
    assert not tracking.is_reference_clock
    assert tracking.stratum == 3
    assert tracking.current_correction_s == pytest.approx(1e-3, rel=1e-6)
    assert tracking.last_offset_s == pytest.approx(-2e-4, rel=1e-6)
    assert tracking.rms_offset_s == pytest.approx(3e-4, rel=1e-6)
    assert tracking.skew_ppm == pytest.approx(0.05, rel=1e-6)
    assert tracking.root_delay_s == pytest.approx(0.02, rel=1e-6)
    assert tracking.root_dispersion_s == pytest.approx(0.004, rel=1e-6)


def test_a_reference_clock_has_a_name():
    tracking = parse_tracking(reply(), sequence=7)
    assert tracking.is_reference_clock
    assert tracking.reference_name == "GPS"


@pytest.mark.parametrize("change", [{"leap": 3}, {"stratum": 0}, {"ref_id": 0x7F7F0101}])
def test_a_clock_that_follows_nobody_is_not_synchronised(change):
    assert not parse_tracking(reply(**change), sequence=7).is_synchronised


@pytest.mark.parametrize("at", range(2, 14, 2))
def test_another_reply_than_the_one_asked_for_is_none(at):
    wrong = bytearray(reply())
    wrong[at + 1 if at != 2 else 1] ^= 0x11
    if at not in (10, 12):  # padding
        assert parse_tracking(bytes(wrong), sequence=7) is None
    assert parse_tracking(reply(), sequence=8) is None
    assert parse_tracking(reply()[:-1], sequence=7) is None


@given(st.floats(-1e9, 1e9, allow_subnormal=False).filter(lambda v: v == 0 or abs(v) > 1e-15))
def test_its_floats_are_read_to_a_part_in_ten_million(value):
    assert wire_float(as_wire_float(value)) == pytest.approx(value, rel=2e-7)


@given(st.one_of(st.binary(max_size=200), st.binary(min_size=76, max_size=76).map(HEADER.__add__)))
def test_any_bytes_are_taken(data):
    one_input(data)


def test_a_request_is_as_long_as_its_reply():
    assert len(tracking_request(1)) == TRACKING_BYTES == len(reply())


def test_another_protocol_s_answer_is_none():
    with answering(lambda _: b"\x06\x02" * 60) as address:
        assert ask_chrony(addresses=[address], timeout_s=5.0) is None


def test_a_real_chronyd_that_follows_nobody_says_so(tmp_path):
    with chronyd(tmp_path, "local stratum 8") as (port, _):
        tracking = asked_until(
            lambda: ask_chrony(addresses=[("127.0.0.1", port)], timeout_s=1.0),
            lambda said: said.stratum == 8,
        )
    assert not tracking.is_synchronised


def test_a_real_chronyd_that_follows_a_gnss_receiver_says_so(tmp_path):
    gnss = tmp_path / "gnss.sock"
    with chronyd(tmp_path, f"refclock SOCK {gnss} refid GPS poll 0 filter 1") as (port, _):
        tracking = asked_until(
            lambda: ask_chrony(addresses=[("127.0.0.1", port)], timeout_s=1.0),
            lambda said: said.is_synchronised,
            meanwhile=lambda: tell_time(gnss, offset_s=1e-6),
        )
    assert tracking.reference_name == "GPS"
    assert tracking.is_reference_clock
    assert tracking.stratum == 1
    assert abs(tracking.last_offset_s) < 0.1
