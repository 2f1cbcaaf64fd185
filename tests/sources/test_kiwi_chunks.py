from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.errors import SourceDataError
from heimdall_edge.sources.kiwi_chunks import read_layout
from heimdall_edge.sources.kiwi_stamps import NO_STAMP
from tests.sources.kiwi_writer import (
    PAIR_BYTES,
    chunk,
    content_of,
    form,
    riff,
    samples_of,
    stamp,
    stamp_ns,
    write,
)

FORM_END = 12 + 8 + 16
BLOCKS = 20


def layout_of(folder, content):
    return read_layout(write(folder, content))


def test_the_blocks_and_their_stamps_are_found_without_the_two_stale_ones(tmp_path):
    layout, truncated_bytes = layout_of(tmp_path, content_of(range(BLOCKS)))
    assert layout.stamps_ns == [stamp_ns(n) for n in range(2, BLOCKS)]
    assert layout.offset_bytes == [FORM_END + n * PAIR_BYTES + 26 for n in range(2, BLOCKS)]
    assert (layout.nominal_rate_hz, layout.samples_per_block) == (12_001.0, 512)
    assert truncated_bytes == 0


@pytest.mark.parametrize("left", [1, 7, 8, 17, 18, 19, 26, 27, 1000, PAIR_BYTES - 1])
def test_a_file_cut_within_a_block_is_read_up_to_the_last_whole_one(tmp_path, left):
    whole = content_of(range(BLOCKS))
    layout, truncated_bytes = layout_of(tmp_path, whole[: len(whole) - PAIR_BYTES + left])
    assert len(layout.offset_bytes) == len(layout.stamps_ns) == BLOCKS - 1 - 2
    assert truncated_bytes == left


def test_zeros_that_a_failing_disk_put_at_the_end_are_left_out(tmp_path):
    layout, truncated_bytes = layout_of(tmp_path, content_of(range(BLOCKS)) + bytes(4096))
    assert len(layout.offset_bytes) == BLOCKS - 2
    assert truncated_bytes == 4096


def test_the_length_in_the_riff_header_may_be_anything(tmp_path):
    content = bytearray(content_of(range(BLOCKS)))
    content[4:8] = bytes(4)
    assert len(layout_of(tmp_path, bytes(content))[0].offset_bytes) == BLOCKS - 2


def test_chunks_of_other_kinds_may_stand_between_also_of_odd_length(tmp_path):
    blocks = [stamp(stamp_ns(n)) + chunk(b"data", samples_of(n).tobytes()) for n in range(BLOCKS)]
    blocks.insert(5, chunk(b"LIST", b"odd") + b"\0")
    layout, _ = layout_of(tmp_path, riff(form(), *blocks))
    assert len(layout.offset_bytes) == BLOCKS - 2


@pytest.mark.parametrize(
    "odd",
    [stamp(0), stamp(5 * 10**9, age_s=255), stamp(604_800 * 10**9),
     chunk(b"kiwi", struct.pack("<BBII", 3, 0, 5, 10**9))],
    ids=["zero", "never fixed", "past the week", "a whole second of ns"],
)  # fmt: skip
def test_a_stamp_that_says_no_time_is_none(tmp_path, odd):
    content = content_of(range(BLOCKS), stamped=lambda n: odd if n == 7 else stamp(stamp_ns(n)))
    layout, _ = layout_of(tmp_path, content)
    assert [n for n, at in enumerate(layout.stamps_ns, 2) if at == NO_STAMP] == [7]


def with_chunk(odd, *, n_blocks=BLOCKS):
    blocks = [stamp(stamp_ns(n)) + chunk(b"data", samples_of(n).tobytes()) for n in range(n_blocks)]
    return riff(form(), *blocks[:5], odd, *blocks[5:])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "begins with b''; expected RIFF"),
        (b"RIFF\0\0\0\0AVI " + bytes(100), "expected RIFF … WAVE"),
        (b"OggS" + bytes(100), "begins with b'OggS"),
        (riff(), "0 blocks; expected 10 or more"),
        (content_of(range(9)), "9 blocks; expected 10 or more"),
        (riff(form(), chunk(b"data", bytes(4000))), "an ordinary wav"),
        (riff(chunk(b"data", bytes(4000))), "expected 'fmt ' before"),
        (riff(form(channels=1)), "1 channels, 16 bit, 12001 Hz; expected PCM"),
        (riff(form(coding=3, bits=32)), "coding 3, 2 channels, 32 bit"),
        (riff(form(rate_hz=0)), "16 bit, 0 Hz"),
        (riff(chunk(b"fmt ", bytes(4))), "too short; expected 16 bytes"),
        (riff(chunk(b"fmt ", bytes(16), claims=900)), "only 16 bytes are left"),
        (with_chunk(chunk(b"LIST", b"", claims=1 << 31)), "b'LIST' of 2147483648 bytes"),
        (with_chunk(chunk(b"kiwi", bytes(12))), "12 bytes at byte 10414: expected 10 bytes"),
        (with_chunk(stamp(5)), "follows a stamp; expected 'data'"),
        (with_chunk(stamp(5) + chunk(b"data", bytes(2000))), "expected 2048 bytes"),
        (with_chunk(stamp(5) + chunk(b"data", b"", claims=1 << 31)), "expected 2048 bytes"),
        (riff(form(), stamp(5), chunk(b"data", bytes(2047) + b"\0", claims=2047)), "multiple of 4"),
        (riff(form(), stamp(5), chunk(b"data", b"")), "multiple of 4"),
        (riff(form(), stamp(5), chunk(b"data", b"", claims=1 << 30)), "some 2048 bytes"),
    ],
)
def test_what_is_no_kiwi_recording_is_refused_with_what_and_where(tmp_path, content, said):
    with pytest.raises(SourceDataError) as refused:
        layout_of(tmp_path, content)
    assert said in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path):
    with pytest.raises(SourceDataError, match=r"No such file.*expected a KiwiSDR wav file"):
        read_layout(tmp_path / "none.wav")
    with pytest.raises(SourceDataError, match="directory"):
        read_layout(tmp_path)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 12 * PAIR_BYTES), junk=st.binary(min_size=1, max_size=40))
def test_junk_anywhere_gives_a_layout_or_a_clear_error(tmp_path_factory, at, junk):
    content = bytearray(content_of(range(12)))
    content[at : at + len(junk)] = junk
    path = write(tmp_path_factory.mktemp("junk"), bytes(content))
    try:
        layout, truncated_bytes = read_layout(path)
    except SourceDataError:
        return
    assert len(layout.stamps_ns) == len(layout.offset_bytes) >= 8
    assert 0 <= truncated_bytes < len(content)
