from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.errors import SourceDataError
from heimdall_edge.sources.kiwi_stamps import MIN_SIGMA_S
from heimdall_edge.sources.kiwi_wav import kiwi_blocks, read_kiwi_wav
from heimdall_edge.types import ClockSource, ClockState
from tests.sources.kiwi_writer import (
    BEGUN_UTC_NS,
    BEGUN_WEEK_NS,
    RATE_HZ,
    content_of,
    samples_of,
    stamp,
    stamp_ns,
    write,
)

NS = 1_000_000_000
FIRST_UTC_NS = BEGUN_UTC_NS + round(2 * 512e9 / RATE_HZ)


def recording_of(folder, numbers, **written):
    return read_kiwi_wav(write(folder, content_of(numbers, **written)))


def test_name_and_stamps_say_what_when_where_and_how_fast(tmp_path):
    recording = recording_of(tmp_path, range(200))
    assert (recording.station, recording.center_freq_hz) == ("DF0KL", 77_500.0)
    assert recording.sample_rate_hz == pytest.approx(RATE_HZ, rel=1e-9)
    assert recording.start_utc_ns == pytest.approx(FIRST_UTC_NS, abs=2)
    assert recording.clock == ClockState(ClockSource.GNSS, sigma_s=MIN_SIGMA_S, locked=True)
    assert (recording.lost_blocks, recording.truncated_bytes, recording.unused_stamps) == (0, 0, 0)


def test_a_name_without_a_station_says_the_rest(tmp_path):
    name = "20171127T104156Z_77500_iq.wav"
    recording = read_kiwi_wav(write(tmp_path, content_of(range(200)), name=name))
    assert (recording.station, recording.center_freq_hz) == (name.removesuffix(".wav"), 77_500.0)
    assert recording.start_utc_ns == pytest.approx(FIRST_UTC_NS, abs=2)


def test_the_sigma_of_the_clock_is_the_scatter_of_the_stamps_where_that_is_more(tmp_path):
    scatter_ns = np.random.default_rng(2).normal(0, 800, 300).round().astype(int)
    recording = recording_of(
        tmp_path, range(300), stamped=lambda n: stamp(stamp_ns(n) + int(scatter_ns[n]))
    )
    assert recording.clock.sigma_s == pytest.approx(800e-9, rel=0.15)


def test_blocks_come_in_order_with_their_own_samples_and_times(tmp_path):
    recording = recording_of(tmp_path, range(12))
    blocks = list(kiwi_blocks(recording, block_samples=3 * 512 + 100))
    assert [block.n_samples for block in blocks] == [1536, 1536, 1536, 512]
    expected = np.concatenate([samples_of(n) for n in range(2, 12)])
    assert np.array_equal(np.concatenate([block.samples for block in blocks]), expected)
    assert [block.sample_start for block in blocks] == [0, 1536, 3072, 4608]
    for before, after in pairwise(blocks):
        assert abs(after.start_utc_ns - before.end_utc_ns) <= 1
    assert {block.datatype for block in blocks} == {"ci16_le"}
    assert not any(block.samples.flags.writeable for block in blocks)


def test_a_block_is_never_less_than_the_file_s_own(tmp_path):
    recording = recording_of(tmp_path, range(12))
    assert {block.n_samples for block in kiwi_blocks(recording, block_samples=1)} == {512}


def test_lost_blocks_are_counted_before_the_block_that_follows_them(tmp_path):
    recording = recording_of(tmp_path, [*range(10), *range(13, 20), *range(21, 30)])
    blocks = list(kiwi_blocks(recording, block_samples=100 * 512))
    assert [block.lost_samples for block in blocks] == [0, 3 * 512, 512]
    assert [block.sample_start for block in blocks] == [0, 11 * 512, 19 * 512]
    assert blocks[2].start_utc_ns == pytest.approx(BEGUN_UTC_NS + 21 * 512e9 / RATE_HZ, abs=3)
    assert recording.lost_blocks == 4


def test_a_file_cut_in_half_is_read_to_its_last_whole_block(tmp_path):
    content = content_of(range(100))
    recording = read_kiwi_wav(write(tmp_path, content[: len(content) // 2]))
    (block,) = kiwi_blocks(recording, block_samples=10**6)
    assert block.n_samples == (49 - 2) * 512
    assert 0 < recording.truncated_bytes < 2074
    assert np.array_equal(block.samples[-1024:], samples_of(48))


def test_a_receiver_that_gives_no_time_is_read_by_its_name_and_is_not_locked(tmp_path):
    recording = recording_of(tmp_path, range(30), stamped=lambda n: stamp(0, age_s=0))
    assert recording.clock == ClockState()
    assert recording.start_utc_ns == BEGUN_UTC_NS
    assert recording.sample_rate_hz == 12_001.0
    assert recording.unused_stamps == 28
    assert sum(block.n_samples for block in kiwi_blocks(recording, block_samples=4096)) == 28 * 512


def test_the_week_s_end_within_a_recording_is_no_gap(tmp_path):
    shift_ns = 604_800 * NS - BEGUN_WEEK_NS - NS  # begun one second before the week's end
    content = content_of(
        range(100), stamped=lambda n: stamp((stamp_ns(n) + shift_ns) % (604_800 * NS))
    )
    path = write(tmp_path, content, name="20171202T235941Z_77500_X_iq.wav")
    recording = read_kiwi_wav(path)
    assert recording.lost_blocks == 0
    assert recording.start_utc_ns == pytest.approx(FIRST_UTC_NS + shift_ns, abs=3)


def test_a_file_of_another_name_is_read_when_time_and_frequency_are_given(tmp_path):
    path = write(tmp_path, content_of(range(30)), name="dcf.wav")
    with pytest.raises(SourceDataError, match=r"dcf\.wav: the name does not say when"):
        read_kiwi_wav(path)
    day_later = BEGUN_UTC_NS + 86_400 * NS
    recording = read_kiwi_wav(path, recorded_utc_ns=day_later, center_freq_hz=60_000.0)
    assert (recording.station, recording.center_freq_hz) == ("dcf", 60_000.0)
    assert recording.start_utc_ns == pytest.approx(FIRST_UTC_NS, abs=2)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("20171327T104156Z_77500_X_iq.wav", "the name does not say when"),
        ("19970101T000000Z_77500_X_iq.wav", "before 1999"),
        ("20171127T104156Z__X_iq.wav", "expected <UTC"),
    ],
)
def test_a_name_that_cannot_be_is_refused(tmp_path, name, said):
    with pytest.raises(SourceDataError, match=said):
        read_kiwi_wav(write(tmp_path, content_of(range(30)), name=name))


def test_stamps_that_contradict_each_other_are_refused(tmp_path):
    content = content_of(range(30), stamped=lambda n: stamp(n * n * 10**7 + 1))
    with pytest.raises(SourceDataError, match=r"_iq\.wav: 0 of 28 stamps follow the one before"):
        read_kiwi_wav(write(tmp_path, content))


def test_a_file_that_is_cut_while_it_is_played_ends_in_an_error(tmp_path):
    recording = recording_of(tmp_path, range(30))
    blocks = kiwi_blocks(recording, block_samples=512)
    next(blocks)
    with recording.path.open("r+b") as file:
        file.truncate(20_000)
    with pytest.raises(SourceDataError, match="was cut at byte 20000"):
        list(blocks)


@settings(max_examples=25, deadline=None)
@given(
    numbers=st.lists(st.integers(1, 4), min_size=12, max_size=40).map(
        # Runs of five blocks, with losses of 0 to 3 between them.
        lambda losses: np.cumsum([n for loss in losses for n in (loss, 1, 1, 1, 1)]).tolist()
    ),
    block_samples=st.integers(1, 20_000),
)
def test_samples_and_losses_add_up_for_any_gaps_and_block_size(
    tmp_path_factory, numbers, block_samples
):
    recording = recording_of(tmp_path_factory.mktemp("kiwi"), numbers)
    n_next = 0
    for block in kiwi_blocks(recording, block_samples=block_samples):
        assert block.sample_start == n_next + block.lost_samples
        number = numbers[2] + block.sample_start // 512
        assert np.array_equal(block.samples[:1024], samples_of(number))
        true_ns = BEGUN_UTC_NS + round(number * 512e9 / RATE_HZ)
        assert abs(block.start_utc_ns - true_ns) <= 5
        n_next = block.sample_start + block.n_samples
    assert n_next == (numbers[-1] - numbers[2] + 1) * 512


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("station", "n_blocks", "first_stamp"),
    # Blocks, and the third stamp of the week, counted by hand from a dump of the files.
    [
        ("DF0KL", 687, (124_934, 214_561_607)),
        ("F1JEK", 680, (124_934, 447_176_230)),
        ("HB9RYZ", 691, (124_934, 38_122_262)),
    ],
)
def test_the_real_recordings_give_their_true_rate_and_start(
    data_dir, station, n_blocks, first_stamp
):
    path = data_dir / "kiwi_dcf77" / f"20171127T104156Z_77500_{station}_iq.wav"
    recording = read_kiwi_wav(path)
    second, ns = first_stamp
    at_utc_ns = BEGUN_UTC_NS + second * NS + ns - BEGUN_WEEK_NS
    assert recording.start_utc_ns == pytest.approx(at_utc_ns, abs=200)
    assert 12_001.03 < recording.sample_rate_hz < 12_001.21
    assert len(recording.block_index) == n_blocks - 2
    assert recording.lost_blocks == recording.truncated_bytes == 0
    assert recording.clock.locked
    assert 1e-8 < recording.clock.sigma_s < 2e-7
    assert recording.station == station
