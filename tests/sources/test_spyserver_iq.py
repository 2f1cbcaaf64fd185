"""SpyServer's IQ packets: what is missing between them, and their samples."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.missing import Missing
from heimdall_edge.sources.sample_clock import Arrival
from heimdall_edge.sources.spyserver_iq import PacketCount, Run, count_samples, samples_of
from heimdall_edge.sources.spyserver_protocol import IQ_FORMATS
from heimdall_edge.types import ClockState

FORMATS = {iq_format.name: iq_format for iq_format in IQ_FORMATS.values()}
RATE_HZ = 1e6


def lost(*packets):
    """(sequence, samples) of each packet → samples lost before each."""
    count = PacketCount(sample_rate_hz=RATE_HZ)
    return [count.follow(*packet).lost_samples for packet in packets]


def test_packets_in_order_lose_nothing():
    assert lost((7, 100), (8, 100), (9, 50)) == [0, 0, 0]


def test_missing_packets_of_equal_length_are_counted_exactly():
    assert lost((7, 100), (11, 100), (13, 100)) == [0, 300, 100]


def test_missing_packets_of_unequal_length_count_as_the_mean_of_the_latest():
    assert lost((7, 100), (8, 100), (9, 200), (12, 200)) == [0, 0, 0, 300]


def test_the_sequence_wraps():
    assert lost((2**32 - 1, 100), (0, 100), (2, 100)) == [0, 0, 100]


@pytest.mark.parametrize("sequence", [0, 9, 10, 2**31 + 11, 10_000_000])
def test_a_sequence_that_begins_anew_says_nothing_of_what_is_lost(sequence):
    count = PacketCount(sample_rate_hz=RATE_HZ)
    count.follow(10, 4096)
    step = count.follow(sequence, 4096)
    assert step.began_anew
    assert step.lost_samples == 0
    assert count.follow(sequence + 2, 4096).lost_samples == 4096


@given(st.lists(st.integers(1, 5), min_size=1, max_size=50), st.integers(0, 2**32 - 1))
def test_whatever_is_left_out_is_counted(steps, start):
    sequences = [start, *(start + int(s) for s in np.cumsum(steps))]
    total = sum(lost(*((s % 2**32, 64) for s in sequences)))
    assert total == 64 * (sequences[-1] - sequences[0] - len(steps))


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("u8", bytes([0, 128, 255, 7]), [0, 128, 255, 7]),
        ("s16", struct.pack("<2h", -32768, 5), [-32768, 5]),
        ("f32", struct.pack("<2f", -1.5, 0.25), [-1.5, 0.25]),
        ("s24", b"\x00\x00\x80\xff\xff\x7f", [-1.0, 1 - 2**-23]),
        ("s24", b"\x01\x00\x00\xff\xff\xff", [2**-23, -(2**-23)]),
        ("u8", b"", []),
    ],
)
def test_samples_are_as_the_server_wrote_them(name, body, expected):
    samples = samples_of(body, FORMATS[name])
    assert samples.tolist() == expected
    assert not samples.flags.writeable


@given(st.lists(st.integers(-(2**23), 2**23 - 1), max_size=20))
def test_each_24_bit_value_survives_as_a_float(values):
    even = values[: len(values) // 2 * 2]
    body = b"".join(value.to_bytes(3, "little", signed=True) for value in even)
    assert (samples_of(body, FORMATS["s24"]).astype(np.float64) * 2**23).tolist() == even


@pytest.mark.parametrize(("name", "n_bytes"), [("u8", 3), ("s16", 6), ("s24", 9), ("f32", 12)])
def test_half_a_sample_is_lost_framing(name, n_bytes):
    with pytest.raises(SourceError, match=f"{n_bytes} bytes of {name} samples.*framing is lost"):
        count_samples(bytes(n_bytes), FORMATS[name])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_floats_that_are_no_numbers_are_refused(value):
    with pytest.raises(SourceError, match="no numbers"):
        samples_of(struct.pack("<2f", 0.5, value), FORMATS["f32"])


def test_a_run_joins_packets_that_fit():
    arrival = Arrival(0, 0, 0, ClockState(), None)
    run = Run(FORMATS["s16"], 0, 446_000_000, arrival, Missing())
    run.add(struct.pack("<2h", 1, 2))
    run.add(struct.pack("<4h", 3, 4, 5, 6))
    assert run.n_samples == 3
    assert run.samples.tolist() == [1, 2, 3, 4, 5, 6]
    assert run.fits(FORMATS["s16"], 0)
    assert not run.fits(FORMATS["s16"], 6)
    assert not run.fits(FORMATS["u8"], 0)
