from __future__ import annotations

import hashlib
import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.raw import duration_ns, read_raw, sample_blocks
from heimdall_edge.types import ClockSource, ClockState
from tests.sources.sigmf_writer import counting

DAY_S = 86_400
RATES_HZ = st.floats(min_value=1.0, max_value=300e9)


def raw(path, **changes):
    settings = {"datatype": "cu8", "sample_rate_hz": 1e3, "center_freq_hz": 100e6}
    return read_raw(path, **settings | {"start_utc_ns": 0} | changes)


def blocks_of(file, block_samples=256):
    return list(sample_blocks(file, block_samples=block_samples, clock=ClockState()))


def values_of(blocks):
    return np.concatenate([block.samples for block in blocks])


@given(st.integers(0, 10**15), RATES_HZ)
def test_a_duration_is_exact_to_half_a_nanosecond_whatever_the_rate(n_samples, rate_hz):
    exact_ns = Fraction(n_samples * 10**9) / Fraction(rate_hz)
    assert abs(duration_ns(n_samples, rate_hz) - exact_ns) <= Fraction(1, 2)


def test_no_time_drifts_away_in_thirty_days_of_a_rate_that_is_no_whole_number():
    rate_hz = 2_000_000.0531278977  # what an RTL2832 gives when asked for 2 Msps
    n_samples = round(30 * DAY_S * rate_hz)
    assert abs(duration_ns(n_samples, rate_hz) - 30 * DAY_S * 10**9) < 1e9 / rate_hz


@pytest.mark.parametrize(
    ("datatype", "numpy_type"),
    [("cu8", "u1"), ("ci8", "i1"), ("ci16_le", "<i2"), ("ci16_be", ">i2"), ("cf32_le", "<f4")],
)
def test_samples_come_in_their_own_numbers(tmp_path, datatype, numpy_type):
    written = np.arange(-500, 500).astype(numpy_type)
    path = tmp_path / "rx.iq"
    path.write_bytes(written.tobytes())
    blocks = blocks_of(raw(path, datatype=datatype))
    assert [block.n_samples for block in blocks] == [256, 244]
    assert {block.samples.dtype for block in blocks} == {np.dtype(numpy_type)}
    np.testing.assert_array_equal(values_of(blocks), written)


@given(n_samples=st.integers(1, 700), block_samples=st.integers(1, 800), rate_hz=RATES_HZ)
def test_any_block_size_gives_the_same_samples_at_the_same_times(
    tmp_path_factory, n_samples, block_samples, rate_hz
):
    path = tmp_path_factory.mktemp("raw") / "rx.cu8"
    path.write_bytes(counting(n_samples).tobytes())
    file = raw(path, sample_rate_hz=rate_hz, start_utc_ns=1_769_860_800_123_456_789)
    blocks = blocks_of(file, block_samples)
    np.testing.assert_array_equal(values_of(blocks), counting(n_samples))
    for block in blocks:
        exact_ns = Fraction(block.sample_start * 10**9) / Fraction(rate_hz)
        assert abs(block.start_utc_ns - 1_769_860_800_123_456_789 - exact_ns) <= Fraction(1, 2)


def test_a_block_says_what_it_was_told(tmp_path):
    path = tmp_path / "rx.cu8"
    path.write_bytes(bytes(20))
    clock = ClockState(ClockSource.NTP, sigma_s=1e-3, locked=True)
    (block,) = sample_blocks(raw(path, start_utc_ns=7), block_samples=256, clock=clock)
    assert (block.datatype, block.sample_rate_hz, block.center_freq_hz) == ("cu8", 1e3, 100e6)
    assert (block.sample_start, block.start_utc_ns, block.lost_samples) == (0, 7, 0)
    assert (block.clock, block.place, block.gain_db) == (clock, None, None)
    assert not block.samples.flags.writeable


def test_without_a_start_the_files_modification_time_is_taken(tmp_path):
    path = tmp_path / "rx.cu8"
    path.write_bytes(bytes(20))
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    assert raw(path, start_utc_ns=None).segments[0].start_utc_ns == 1_700_000_000_123_456_789


def test_half_a_sample_at_the_end_is_left_out_and_counted(tmp_path):
    path = tmp_path / "rx.ci16"
    path.write_bytes(bytes(4 * 10 + 3))
    file = raw(path, datatype="ci16_le")
    assert file.truncated_bytes == 3
    assert sum(block.n_samples for block in blocks_of(file)) == 10


def test_a_file_without_a_whole_sample_is_refused(tmp_path):
    path = tmp_path / "rx.cf32"
    path.write_bytes(bytes(7))
    with pytest.raises(SourceDataError, match=r"rx\.cf32: 7 bytes; expected .* sample of 8"):
        raw(path, datatype="cf32_le")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SourceDataError, match=r"rx\.cu8: No such file .*; expected a file"):
        raw(tmp_path / "rx.cu8")


def test_a_pipe_is_refused_before_it_can_hold_the_reader_up(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceDataError, match="pipe: expected a regular file"):
        raw(tmp_path / "pipe")


def test_a_file_that_becomes_shorter_while_it_is_read_is_an_error_that_says_where(tmp_path):
    path = tmp_path / "rx.cu8"
    path.write_bytes(bytes(600_000))
    blocks = sample_blocks(raw(path), block_samples=65_536, clock=ClockState())
    next(blocks)
    os.truncate(path, 200_000)
    with pytest.raises(SourceDataError, match="ends at byte 200000; expected 262144"):
        list(blocks)


def test_a_file_that_vanishes_is_an_error_that_may_be_tried_again(tmp_path):
    path = tmp_path / "rx.cu8"
    path.write_bytes(bytes(2_000))
    file = raw(path)
    path.unlink()
    with pytest.raises(SourceError, match="No such file") as caught:
        blocks_of(file)
    assert not isinstance(caught.value, SourceDataError)


@pytest.mark.real_data
def test_a_real_recording_is_read_to_its_last_byte(data_dir):
    path = data_dir / "iq" / "modes1_1090M_2000k.cu8"
    blocks = blocks_of(raw(path, sample_rate_hz=2e6, center_freq_hz=1090e6), 65_536)
    content = hashlib.sha256(b"".join(block.samples.tobytes() for block in blocks))
    assert content.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert values_of(blocks).mean() == pytest.approx(127.4, abs=0.1)  # as its README says
