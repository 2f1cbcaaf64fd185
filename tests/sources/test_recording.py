from __future__ import annotations

import hashlib
import os
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import ConfigError, SourceDataError, SourceError
from heimdall_edge.sources.recording import RecordingSource, format_of
from heimdall_edge.types import ClockSource, ClockState, Place
from tests.sources.contract import IQSourceContract
from tests.sources.sigmf_writer import (
    CAPTURE,
    FREQUENCY_HZ,
    RATE_HZ,
    START_UTC_NS,
    counting,
    metadata,
    write,
)

POINT = {"type": "Point", "coordinates": [7.25, 53.5, 12.0]}
LATER = {"core:sample_start": 400, "core:frequency": FREQUENCY_HZ, "core:global_index": 3_600_400}


def raw(path, **changes):
    settings = {"sample_rate_hz": RATE_HZ, "center_freq_hz": FREQUENCY_HZ}
    return RecordingSource(path=path, **settings | changes)


def read(source):
    source.open()
    blocks = list(source.blocks())
    source.close()
    return blocks


def receiver(recording, **values):
    return Receiver(id="rx1", kind="recording", recording=recording, **values)


class TestSigmfKeepsTheContract(IQSourceContract):
    @pytest.fixture
    def counts(self):
        return 1_000, 3_600_000

    @pytest.fixture
    def source(self, tmp_path):
        return RecordingSource(path=write(tmp_path, metadata(CAPTURE, LATER)), block_samples=256)

    @pytest.fixture
    def lasting_source(self, tmp_path):
        captures = [CAPTURE, LATER | {"core:sample_start": 1}]  # an hour after the first sample
        return RecordingSource(path=write(tmp_path, metadata(*captures)), pace="real_time")


class TestBareSamplesKeepTheContract(IQSourceContract):
    @pytest.fixture
    def counts(self):
        return 1_000, 0

    @pytest.fixture
    def source(self, tmp_path):
        (tmp_path / "rx.cu8").write_bytes(counting(1_000).tobytes())
        return raw(tmp_path / "rx.cu8", block_samples=256)

    @pytest.fixture
    def lasting_source(self, tmp_path):
        (tmp_path / "rx.cu8").write_bytes(counting(100).tobytes())
        return raw(tmp_path / "rx.cu8", sample_rate_hz=1.0, block_samples=1, pace="real_time")


KIWI_NAME = "20260131T120000Z_77500_DF0KL_iq.wav"
KIWI_WEEK_S = 561_618  # GPS second of the week of Saturday noon, UTC: six days, 12 hours, 18 s


def write_kiwi_wav(folder, *, numbers, rate_hz=12_000):
    """A KiwiSDR's file of the blocks of these numbers; a sample says its own number."""
    content = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 2, rate_hz, 4 * rate_hz, 4, 16)
    for number in numbers:
        at_ns = round(number * 512 * 1e9 / rate_hz)
        stamp = struct.pack("<BBII", 3, 0, KIWI_WEEK_S + at_ns // 10**9, at_ns % 10**9)
        samples = np.arange(number * 1024, (number + 1) * 1024).astype("<i2").tobytes()
        content += b"kiwi" + struct.pack("<I", 10) + stamp
        content += b"data" + struct.pack("<I", 2048) + samples
    path = folder / KIWI_NAME
    path.write_bytes(b"RIFF" + struct.pack("<I", len(content)) + content)
    return path


class TestKiwiWavKeepsTheContract(IQSourceContract):
    """The first two blocks are left out, for their stamps are stale."""

    @pytest.fixture
    def counts(self):
        return 40 * 512, 3 * 512

    @pytest.fixture
    def source(self, tmp_path):
        path = write_kiwi_wav(tmp_path, numbers=[*range(22), *range(25, 45)])
        return RecordingSource(path=path, block_samples=1_024)

    @pytest.fixture
    def lasting_source(self, tmp_path):
        path = write_kiwi_wav(tmp_path, numbers=[*range(22), *range(100_000, 100_020)])
        return RecordingSource(path=path, block_samples=65_536, pace="real_time")


def test_a_kiwi_wav_is_read_with_its_own_clock_place_in_time_and_frequency(tmp_path):
    source = RecordingSource(path=write_kiwi_wav(tmp_path, numbers=range(42)))
    (block,) = read(source)
    assert block.n_samples == 40 * 512
    assert block.start_utc_ns == pytest.approx(START_UTC_NS + 2 * 512 / 12e3 * 1e9, abs=100)
    assert (block.center_freq_hz, block.clock.source) == (77_500.0, ClockSource.GNSS)


def test_a_kiwi_wav_cut_in_the_middle_of_a_block_is_said_in_the_journal(tmp_path, caplog):
    path = write_kiwi_wav(tmp_path, numbers=range(42))
    os.truncate(path, path.stat().st_size - 1_000)
    (block,) = read(RecordingSource(path=path))
    assert block.n_samples == 39 * 512
    assert [record.message for record in caplog.records] == ["recording_cut"]


@pytest.mark.real_data
@pytest.mark.parametrize("station", ["DF0KL", "F1JEK", "HB9RYZ"])
def test_a_real_kiwi_recording_gives_its_true_rate(data_dir, station):
    path = data_dir / "kiwi_dcf77" / f"20171127T104156Z_77500_{station}_iq.wav"
    blocks = read(RecordingSource(path=path))
    assert 12_001.0 < blocks[0].sample_rate_hz < 12_001.25  # nominal: 12001
    assert sum(block.n_samples for block in blocks) > 28.5 * 12_000
    assert {block.clock.source for block in blocks} == {ClockSource.GNSS}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.b.sigmf-meta", "sigmf"),
        ("a.sigmf-data", "sigmf"),
        ("A.SIGMF", "sigmf"),
        ("20171127T104156Z_77500_DF0KL_iq.wav", "kiwi_wav"),
        ("gqrx_20260131_120000_433920000.WAV", "kiwi_wav"),
        ("rx.cu8", "raw"),
        ("rx", "raw"),
    ],
)
def test_a_format_goes_by_the_files_name(name, expected):
    assert format_of(Path(name)) == expected


def test_a_file_may_wait():
    assert RecordingSource(path=Path("rx.sigmf-meta")).may_wait


def test_a_format_that_is_named_comes_before_the_name(tmp_path):
    path = write(tmp_path, metadata())
    (block,) = read(raw(path.with_suffix(".sigmf-data"), file_format="raw", start_utc_ns=5))
    assert (block.start_utc_ns, block.n_samples) == (5, 1_000)


def test_sigmf_blocks_carry_the_files_word_and_the_receivers_clock(tmp_path):
    clock = ClockState(ClockSource.GNSS, sigma_s=1e-7, locked=True)
    path = write(tmp_path, metadata(CAPTURE | {"core:geolocation": POINT}))
    (block,) = read(RecordingSource(path=path, clock=clock, antenna_height_m=9.0))
    assert (block.sample_rate_hz, block.center_freq_hz) == (RATE_HZ, FREQUENCY_HZ)
    assert (block.start_utc_ns, block.clock) == (START_UTC_NS, clock)
    assert block.place == Place(53.5, 7.25, 12.0, antenna_height_m=9.0)


def test_the_recordings_place_is_left_out_where_the_configuration_has_one(tmp_path):
    path = write(tmp_path, metadata(CAPTURE | {"core:geolocation": POINT}))
    (block,) = read(RecordingSource(path=path, has_place=True))
    assert block.place is None


def test_bytes_left_over_at_the_end_are_said_in_the_journal(tmp_path, caplog):
    (tmp_path / "rx.cu8").write_bytes(b"\x80" * 21)
    (block,) = read(raw(tmp_path / "rx.cu8"))
    assert block.n_samples == 10
    (line,) = caplog.records
    assert line.message == "recording_cut"
    assert line.fields["bytes_left_over"] == 1


def test_in_real_time_a_block_comes_when_its_last_sample_was_taken(tmp_path):
    (tmp_path / "rx.cu8").write_bytes(counting(1_000).tobytes())
    settings = {"sample_rate_hz": 1e4, "start_utc_ns": 7}
    began_s = time.monotonic()
    paced = read(raw(tmp_path / "rx.cu8", pace="real_time", block_samples=256, **settings))
    assert time.monotonic() - began_s >= 0.1
    fast = read(raw(tmp_path / "rx.cu8", pace="fast", block_samples=256, **settings))
    assert [block.start_utc_ns for block in paced] == [block.start_utc_ns for block in fast]
    assert sum(block.n_samples for block in paced) == 1_000


def test_closing_while_the_hash_is_computed_ends_the_opening_within_a_second(tmp_path):
    path = write(tmp_path, metadata(sha512="0" * 128))
    with path.with_suffix(".sigmf-data").open("wb") as stream:
        stream.truncate(2**36)  # a hole: it takes no room on the disk, and minutes to hash
    source = RecordingSource(path=path)
    thread = threading.Thread(target=source.open, daemon=True)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    source.close()
    thread.join(1.0)
    assert not thread.is_alive()
    assert list(source.blocks()) == []


def test_reading_before_opening_is_an_error(tmp_path):
    with pytest.raises(SourceError, match=r"rx\.cu8: recording is not open"):
        raw(tmp_path / "rx.cu8").blocks()


def test_a_malformed_recording_is_refused_when_it_is_opened(tmp_path):
    with pytest.raises(SourceDataError, match="Invalid JSON"):
        RecordingSource(path=write(tmp_path, b"no")).open()


# ── from the configuration ────────────────────────────────────────────────────────────────


def test_a_configured_recording_is_read_as_the_configuration_says(tmp_path):
    path = tmp_path / "rx.iq"
    path.write_bytes(np.arange(2_000, dtype=">i2").tobytes())
    source = RecordingSource.from_config(
        receiver(
            {
                "path": path,
                "format": "raw",
                "datatype": "ci16_be",
                "start_utc": "2026-01-31T12:00:00Z",
                "block_samples": 512,
            },
            sample_rate_hz=48e3,
            center_freq_hz=7.1e6,
            clock={"source": "gnss", "sigma_s": 1e-7},
        )
    )
    blocks = read(source)
    assert [block.n_samples for block in blocks] == [512, 488]
    assert (blocks[0].datatype, blocks[0].start_utc_ns) == ("ci16_be", START_UTC_NS)
    assert (blocks[0].sample_rate_hz, blocks[0].center_freq_hz) == (48e3, 7.1e6)
    assert blocks[0].clock == ClockState(ClockSource.GNSS, sigma_s=1e-7, locked=True)


def test_without_a_configured_clock_nothing_is_claimed_of_the_stamps(tmp_path):
    source = RecordingSource.from_config(receiver({"path": write(tmp_path, metadata())}))
    assert [block.clock for block in read(source)] == [ClockState()]


@pytest.mark.parametrize(("place", "expected"), [({}, True), ({"latitude_deg": 50.0}, False)])
def test_a_configured_place_comes_before_the_recordings_own(tmp_path, place, expected):
    path = write(tmp_path, metadata(CAPTURE | {"core:geolocation": POINT}))
    if place:
        place["longitude_deg"] = 9.0
    (block,) = read(RecordingSource.from_config(receiver({"path": path}, **place)))
    assert (block.place is not None) is expected
    if block.place:
        assert block.place.antenna_height_m == 10.0  # the configuration's default


@pytest.mark.parametrize(
    "given", [{}, {"sample_rate_hz": 1e6}, {"center_freq_hz": 1e6}], ids=["neither", "rate", "freq"]
)
def test_bare_samples_without_rate_or_frequency_are_the_operators_to_mend(given):
    with pytest.raises(ConfigError, match=r"rx\.cu8: bare samples; expected sample_rate_hz and"):
        RecordingSource.from_config(receiver({"path": Path("rx.cu8")}, **given))


def test_a_start_that_is_no_instant_is_the_operators_to_mend():
    table = {"path": Path("rx.sigmf-meta"), "start_utc": "noon"}
    with pytest.raises(ConfigError, match=r"'rx1'\.recording\.start_utc = 'noon': expected RFC"):
        RecordingSource.from_config(receiver(table))


@pytest.mark.real_data
def test_a_real_rtl_sdr_recording_is_read_to_its_last_byte(data_dir):
    path = data_dir / "iq" / "modes1_1090M_2000k.cu8"
    blocks = read(raw(path, sample_rate_hz=2e6, center_freq_hz=1090e6))
    content = b"".join(block.samples.tobytes() for block in blocks)
    assert hashlib.sha256(content).digest() == hashlib.sha256(path.read_bytes()).digest()
    assert (blocks[-1].end_utc_ns - blocks[0].start_utc_ns) / 1e9 == pytest.approx(0.178, abs=1e-3)
