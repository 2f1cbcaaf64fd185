from __future__ import annotations

import hashlib
import json
import os
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.errors import SourceDataError
from heimdall_edge.sources.raw import sample_blocks
from heimdall_edge.sources.sigmf import read_sigmf
from heimdall_edge.types import ClockState, Place
from tests.sources.sigmf_writer import (
    CAPTURE,
    FREQUENCY_HZ,
    RATE_HZ,
    START_UTC_NS,
    counting,
    metadata,
    write,
)

NS = 1_000_000_000
POINT = {"type": "Point", "coordinates": [7.25, 53.5, 12.0]}
OTHER_POINT = {"type": "Point", "coordinates": [8.5, 47.25]}


def blocks_of(file, block_samples=65_536):
    return list(sample_blocks(file, block_samples=block_samples, clock=ClockState()))


def values_of(blocks):
    return np.concatenate([block.samples for block in blocks])


def capture(sample_start, **values):
    """A capture that has a frequency and, unless ``values`` give one, no time."""
    core = {f"core:{name}": value for name, value in values.items()}
    return {"core:sample_start": sample_start, "core:frequency": FREQUENCY_HZ} | core


def starts_of(file):
    """(sample_start, lost, seconds after START) of each segment."""
    return [
        (s.sample_start, s.lost_samples, (s.start_utc_ns - START_UTC_NS) / NS)
        for s in file.segments
    ]


# ── what is read ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("suffix", [".sigmf-meta", ".sigmf-data"])
def test_a_recording_is_found_by_either_of_its_files(tmp_path, suffix):
    file = read_sigmf(write(tmp_path, metadata()).with_suffix(suffix))
    assert (file.datatype, file.sample_rate_hz, file.truncated_bytes) == ("cu8", RATE_HZ, 0)
    (block,) = blocks_of(file)
    np.testing.assert_array_equal(block.samples, counting(1_000))
    assert (block.start_utc_ns, block.center_freq_hz) == (START_UTC_NS, FREQUENCY_HZ)
    assert (block.sample_start, block.lost_samples) == (0, 0)
    assert (block.place, block.gain_db) == (None, None)


@pytest.mark.parametrize(
    ("datatype", "numpy_type"),
    [("cu8", "u1"), ("ci8", "i1"), ("ci16_le", "<i2"), ("ci16_be", ">i2"), ("cf32_le", "<f4")],
)
def test_each_sample_format_is_read_as_numpy_reads_it(tmp_path, datatype, numpy_type):
    written = np.arange(-100, 100).astype(numpy_type)
    captures = [capture(0), capture(30)]
    file = read_sigmf(write(tmp_path, metadata(*captures, datatype=datatype), written))
    blocks = blocks_of(file)
    assert [block.n_samples for block in blocks] == [30, 70]
    assert {block.datatype for block in blocks} == {datatype}
    np.testing.assert_array_equal(values_of(blocks), written)


def test_a_captures_frequency_gain_and_place_hold_for_that_capture_only(tmp_path):
    captures = [
        CAPTURE | {"heimdall:gain_db": 20.7, "core:geolocation": POINT},
        {"core:sample_start": 300, "core:frequency": 1090e6, "core:geolocation": OTHER_POINT},
        {"core:sample_start": 600, "core:frequency": 77_500.0},
    ]
    file = read_sigmf(write(tmp_path, metadata(*captures)), antenna_height_m=4.0)
    assert [s.center_freq_hz for s in file.segments] == [FREQUENCY_HZ, 1090e6, 77_500.0]
    assert [s.gain_db for s in file.segments] == [20.7, None, None]
    assert [s.place for s in file.segments] == [
        Place(latitude_deg=53.5, longitude_deg=7.25, altitude_m=12.0, antenna_height_m=4.0),
        Place(latitude_deg=47.25, longitude_deg=8.5, altitude_m=0.0, antenna_height_m=4.0),
        None,
    ]


def test_the_whole_recordings_place_and_gain_are_taken_where_a_capture_has_none(tmp_path):
    captures = [capture(0), capture(500, geolocation=OTHER_POINT) | {"heimdall:gain_db": 0.0}]
    document = metadata(*captures, geolocation=POINT)
    document["global"]["heimdall:gain_db"] = 33.8
    file = read_sigmf(write(tmp_path, document))
    assert [s.place.longitude_deg for s in file.segments] == [7.25, 8.5]
    assert [s.gain_db for s in file.segments] == [33.8, 0.0]


def test_without_captures_the_receivers_own_settings_are_taken(tmp_path):
    document = metadata(sample_rate=None) | {"captures": []}
    file = read_sigmf(
        write(tmp_path, document), sample_rate_hz=250.0, center_freq_hz=5e6, start_utc_ns=99
    )
    (segment,) = file.segments
    assert (file.sample_rate_hz, segment.n_samples) == (250.0, 1_000)
    assert (segment.center_freq_hz, segment.start_utc_ns) == (5e6, 99)


def test_the_recordings_own_word_comes_before_the_receivers_settings(tmp_path):
    file = read_sigmf(
        write(tmp_path, metadata()), sample_rate_hz=1.0, center_freq_hz=1.0, start_utc_ns=1
    )
    (segment,) = file.segments
    assert file.sample_rate_hz == RATE_HZ
    assert (segment.center_freq_hz, segment.start_utc_ns) == (FREQUENCY_HZ, START_UTC_NS)


def test_without_any_time_the_datas_modification_time_is_taken(tmp_path):
    path = write(tmp_path, metadata(capture(0)))
    os.utime(path.with_suffix(".sigmf-data"), ns=(1, 1_700_000_000_000_000_007))
    assert read_sigmf(path).segments[0].start_utc_ns == 1_700_000_000_000_000_007


def test_the_data_may_have_another_name_headers_and_a_footer(tmp_path):
    document = metadata(capture(0, header_bytes=44), capture(600, header_bytes=8), dataset="rx.wav")
    document["global"]["core:trailing_bytes"] = 5
    path = write(tmp_path, document)
    samples = counting(1_000).tobytes()
    content = b"h" * 44 + samples[:1_200] + b"k" * 8 + samples[1_200:] + b"tail."
    (tmp_path / "rx.wav").write_bytes(content)
    file = read_sigmf(path)
    assert [s.n_samples for s in file.segments] == [600, 400]
    np.testing.assert_array_equal(values_of(blocks_of(file)), counting(1_000))


def test_a_recording_split_over_files_counts_its_samples_from_core_offset(tmp_path):
    captures = [capture(10_000), capture(10_600)]
    file = read_sigmf(write(tmp_path, metadata(*captures, offset=10_000)))
    assert [(s.sample_start, s.n_samples) for s in file.segments] == [(0, 600), (600, 400)]


def test_captures_without_samples_are_passed_over(tmp_path):
    captures = [CAPTURE, CAPTURE, capture(400), capture(400), capture(1_000)]
    file = read_sigmf(write(tmp_path, metadata(*captures)))
    assert [(s.sample_start, s.n_samples) for s in file.segments] == [(0, 400), (400, 600)]


# ── gaps ──────────────────────────────────────────────────────────────────────────────────


def test_a_jump_of_the_global_index_is_a_gap_in_samples_and_in_time(tmp_path):
    captures = [CAPTURE | {"core:global_index": 7_000}, capture(500, global_index=9_500)]
    file = read_sigmf(write(tmp_path, metadata(*captures)))
    assert starts_of(file) == [(0, 0, 0.0), (2_500, 2_000, 2.5)]


def test_a_capture_without_a_global_index_follows_the_one_before(tmp_path):
    captures = [
        CAPTURE | {"core:global_index": 7_000},
        capture(500, global_index=8_000),
        capture(800),
    ]
    file = read_sigmf(write(tmp_path, metadata(*captures)))
    assert starts_of(file) == [(0, 0, 0.0), (1_000, 500, 1.0), (1_300, 0, 1.3)]


def test_a_jump_of_time_alone_is_a_gap_too(tmp_path):
    captures = [CAPTURE, capture(500, datetime="2026-01-31T12:00:10.5Z")]
    file = read_sigmf(write(tmp_path, metadata(*captures)))
    assert starts_of(file) == [(0, 0, 0.0), (10_500, 10_000, 10.5)]


def test_a_time_stamp_that_jitters_is_kept_and_no_gap(tmp_path):
    captures = [CAPTURE, capture(500, datetime="2026-01-31T12:00:00.508Z")]
    file = read_sigmf(write(tmp_path, metadata(*captures)))
    assert starts_of(file) == [(0, 0, 0.0), (500, 0, 0.508)]


def test_a_time_stamp_that_jitters_back_never_makes_captures_overlap(tmp_path):
    captures = [CAPTURE, capture(500, datetime="2026-01-31T12:00:00.495Z")]
    file = read_sigmf(write(tmp_path, metadata(*captures)))
    assert starts_of(file) == [(0, 0, 0.0), (500, 0, 0.5)]


def test_a_clock_that_drifts_over_a_long_capture_is_no_gap(tmp_path):
    captures = [capture(0, datetime="2026-01-31T12:00:00Z")]
    captures += [capture(1_000_000, datetime="2026-01-31T12:16:40.1Z")]  # 100 ppm of 1000 s
    file = read_sigmf(write(tmp_path, metadata(*captures), counting(1_000_100)))
    assert starts_of(file) == [(0, 0, 0.0), (1_000_000, 0, 1_000.1)]


# ── what is refused ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("captures", "message"),
    [
        ([capture(5)], r"captures\[0\]\.core:sample_start = 5: expected 0"),
        ([CAPTURE, capture(600), capture(500)], r"\[2\]\.core:sample_start = 500: expected 600"),
        ([CAPTURE, capture(1_001)], r"\[1\]\.core:sample_start = 1001: .* end at byte 2000"),
        ([CAPTURE, capture(2**62)], r"\[1\]\.core:sample_start = \d+: .*cut short"),
        ([capture(0, header_bytes=2_001)], r"\[0\].*begins at byte 2001.* end at byte 2000"),
        ([{"core:sample_start": 0}], r"captures\[0\]\.core:frequency: missing"),
        ([CAPTURE, {"core:sample_start": 9}], r"captures\[1\]\.core:frequency: missing"),
        (
            [CAPTURE | {"core:global_index": 100}, capture(500, global_index=599)],
            r"captures\[1\]\.core:global_index = 599: expected 600 or more",
        ),
        (
            [CAPTURE, capture(500, datetime="2026-01-31T11:59:59Z")],
            r"captures\[1\]\.core:datetime = .*59Z': 1\.5 s before its own sample count",
        ),
        (
            [CAPTURE, capture(500, global_index=2**63 - 1)],
            r"captures\[1\]: begins .* s after the end of the capture before; expected at most",
        ),
        (
            [CAPTURE, capture(500, datetime="2028-01-31T12:00:00Z")],
            r"captures\[1\]: begins 6\.3\d+e\+07 s after the end",
        ),
    ],
)
def test_captures_that_contradict_each_other_or_the_data_are_refused(tmp_path, captures, message):
    with pytest.raises(SourceDataError, match=message) as caught:
        read_sigmf(write(tmp_path, metadata(*captures)))
    assert str(caught.value).startswith(f"{tmp_path / 'rx.sigmf-meta'}: ")


def test_a_file_cut_within_a_sample_gives_its_whole_samples_and_says_what_is_left_over(tmp_path):
    document = metadata(datatype="cf32_le")
    file = read_sigmf(write(tmp_path, document, bytes(8 * 100 + 5)))
    assert file.truncated_bytes == 5
    assert sum(block.n_samples for block in blocks_of(file)) == 100


def test_a_file_cut_before_a_captures_begin_is_refused(tmp_path):
    path = write(tmp_path, metadata(CAPTURE, capture(500)))
    os.truncate(path.with_suffix(".sigmf-data"), 998)
    with pytest.raises(SourceDataError, match=r"\[1\].* begins at byte 1000, .* at byte 998"):
        read_sigmf(path)


def test_data_without_a_sample_are_refused(tmp_path):
    with pytest.raises(SourceDataError, match="1 bytes hold no sample; expected at least one"):
        read_sigmf(write(tmp_path, metadata(), b"x"))


def test_a_footer_longer_than_the_file_is_refused(tmp_path):
    with pytest.raises(SourceDataError, match="begins at byte 0, but the samples end at byte -1"):
        read_sigmf(write(tmp_path, metadata(trailing_bytes=2_001)))


def test_missing_data_are_refused_by_name(tmp_path):
    path = write(tmp_path, metadata())
    path.with_suffix(".sigmf-data").unlink()
    with pytest.raises(SourceDataError, match=r"rx\.sigmf-data: No such file"):
        read_sigmf(path)


def test_a_rate_that_nobody_gives_is_refused(tmp_path):
    with pytest.raises(SourceDataError, match=r"global\.core:sample_rate: missing; expected"):
        read_sigmf(write(tmp_path, metadata(sample_rate=None)))


def test_an_archive_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(SourceDataError, match=r"rx\.sigmf: an archive; .* unpack it with tar"):
        read_sigmf(tmp_path / "rx.sigmf")


# ── the hash ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("spelled", [str.lower, str.upper])
def test_the_right_hash_is_accepted_in_either_case(tmp_path, spelled):
    digest = spelled(hashlib.sha512(counting(1_000).tobytes()).hexdigest())
    assert read_sigmf(write(tmp_path, metadata(sha512=digest))).segments[0].n_samples == 1_000


def test_one_changed_bit_is_found_by_the_hash(tmp_path):
    samples = counting(1_000)
    document = metadata(sha512=hashlib.sha512(samples.tobytes()).hexdigest())
    samples[1_234] ^= 1
    with pytest.raises(SourceDataError, match=r"rx\.sigmf-data: SHA-512 .*; expected core:sha512"):
        read_sigmf(write(tmp_path, document, samples))


def test_hashing_stops_as_soon_as_it_should_not_proceed(tmp_path):
    path = write(tmp_path, metadata(sha512="0" * 128))
    with path.with_suffix(".sigmf-data").open("wb") as stream:
        stream.truncate(2**36)  # a hole: it takes no room on the disk, and minutes to hash
    answers = iter([True, True, False, False])
    began_s = time.monotonic()
    read_sigmf(path, proceed=lambda: next(answers))
    assert time.monotonic() - began_s < 5


# ── properties ────────────────────────────────────────────────────────────────────────────


@st.composite
def recordings(draw):
    """(captures, what is lost before each, lengths, rate): a recording with gaps."""
    rate_hz = draw(st.floats(1.0, 1e8))
    lengths = draw(st.lists(st.integers(1, 400), min_size=1, max_size=6))
    lost = [0, *draw(st.lists(st.integers(0, 10**6), min_size=5, max_size=5))][: len(lengths)]
    index = draw(st.integers(0, 2**40))
    captures, start = [], 0
    for n_samples, missing in zip(lengths, lost, strict=True):
        index += missing
        captures.append(capture(start, global_index=index))
        start, index = start + n_samples, index + n_samples
    captures[0]["core:datetime"] = CAPTURE["core:datetime"]
    return captures, lost, lengths, rate_hz


@given(recordings(), st.integers(1, 500))
def test_any_block_size_gives_the_same_samples_gaps_and_times(
    tmp_path_factory, recording, block_samples
):
    captures, lost, lengths, rate_hz = recording
    if sum(lost) / rate_hz > 86_400 * 300:
        rate_hz = 1e6
    samples = counting(sum(lengths))
    document = metadata(*captures, sample_rate=rate_hz)
    file = read_sigmf(write(tmp_path_factory.mktemp("sigmf"), document, samples))
    blocks = blocks_of(file, block_samples)
    np.testing.assert_array_equal(values_of(blocks), samples)
    assert sum(block.lost_samples for block in blocks) == sum(lost)
    expected = 0
    for block in blocks:
        expected += block.lost_samples
        assert block.sample_start == expected
        expected += block.n_samples
        exact_ns = Fraction(block.sample_start * NS) / Fraction(rate_hz)
        # Rounded to whole nanoseconds once a gap, and once within the capture.
        assert abs(block.start_utc_ns - START_UTC_NS - exact_ns) <= (len(lost) + 1) / 2


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["cu8", "2026-01-31T12:00:00Z", "rx.sigmf-data", "1.2.5", "Point"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["core:sample_start", "core:dataset", "coordinates", "type"])
            | st.text(max_size=8),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
KEYS = {
    "global": [
        "core:datatype",
        "core:version",
        "core:sample_rate",
        "core:num_channels",
        "core:offset",
        "core:trailing_bytes",
        "core:dataset",
        "core:sha512",
        "core:geolocation",
        "core:extensions",
        "heimdall:gain_db",
    ],
    "captures": [
        "core:sample_start",
        "core:global_index",
        "core:header_bytes",
        "core:frequency",
        "core:datetime",
        "core:geolocation",
        "heimdall:gain_db",
    ],
}


def read_or_refuse(path):
    """Read a recording; what is not refused by name must be sound."""
    try:
        file = read_sigmf(path)
    except SourceDataError as error:
        refusal = str(error)
    else:
        check_that_it_lies_within_its_data(file)
        return
    assert str(path.parent) in refusal


def check_that_it_lies_within_its_data(file):
    size = file.path.stat().st_size
    end = 0
    for segment in file.segments:
        assert segment.n_samples > 0
        assert 0 <= segment.offset_bytes < size
        assert segment.sample_start == end + segment.lost_samples
        end = segment.sample_start + segment.n_samples
        assert 0 <= segment.start_utc_ns < 2**63
    assert sum(block.n_samples for block in blocks_of(file)) <= size


@given(JSON)
def test_any_json_is_read_or_refused(tmp_path_factory, document):
    read_or_refuse(write(tmp_path_factory.mktemp("any"), json.dumps(document).encode()))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    read_or_refuse(write(tmp_path_factory.mktemp("any"), content))


@given(
    st.lists(
        st.one_of(
            *(
                st.tuples(st.just(part), st.integers(0, 2), st.sampled_from(keys), JSON)
                for part, keys in KEYS.items()
            )
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_recording_with_any_of_its_values_changed_is_read_or_refused(tmp_path_factory, changes):
    captures = [
        capture(0, global_index=0, datetime=CAPTURE["core:datetime"]),
        capture(300, global_index=300),
        capture(600, global_index=700, geolocation=POINT),
    ]
    document = json.loads(json.dumps(metadata(*captures)))
    for part, i, key, value in changes:
        (document["global"] if part == "global" else document["captures"][i])[key] = value
    read_or_refuse(write(tmp_path_factory.mktemp("changed"), json.dumps(document).encode()))


@pytest.mark.real_data
def test_a_real_recording_with_metadata_beside_it_is_read_where_it_lies(data_dir, tmp_path):
    content = (data_dir / "iq" / "modes1_1090M_2000k.cu8").read_bytes()
    document = metadata(
        capture(0, datetime="2013-01-01T00:00:00Z"),
        sample_rate=2e6,
        sha512=hashlib.sha512(content).hexdigest(),
    )
    file = read_sigmf(write(tmp_path, document, content))
    assert b"".join(block.samples.tobytes() for block in blocks_of(file)) == content
