from __future__ import annotations

import struct

import numpy as np
import pytest

from heimdall_edge.sources.openwebrx_rows import Band, read_row
from tests.emulators.adpcm_encoder import encode

PLAIN = Band(145e6, 250e3, 64, "none")
COMPRESSED = Band(145e6, 250e3, 64, "adpcm")
LEVELS = [-90.0 + k % 5 for k in range(64)]


def test_a_plain_row_is_float32_little_endian():
    row = read_row(b"\x01" + struct.pack("<64f", *LEVELS), PLAIN)
    assert row.db.tolist() == LEVELS
    assert row.is_slewing is None
    assert not row.db.flags.writeable


def test_a_compressed_row_loses_its_padding_and_is_hundredths_of_a_decibel():
    levels = np.linspace(-90, -70, 64)
    hundredths = (levels * 100).astype(int).tolist()
    body = encode([hundredths[0]] * 10 + hundredths)
    row = read_row(b"\x01" + body, COMPRESSED)
    assert len(row.db) == len(row.is_slewing) == 64
    assert np.abs(row.db[24:] - levels[24:]).max() < 0.7


def test_where_compression_still_climbs_is_told():
    hundredths = [-9000] * 74
    hundredths[42:] = [-3000] * 32
    row = read_row(b"\x01" + encode(hundredths), COMPRESSED)
    assert row.is_slewing[32:36].all()
    assert not row.is_slewing[20:32].any()
    assert row.db[33] < -60 < -31 < row.db[50]


@pytest.mark.parametrize(
    ("payload", "band", "why"),
    [
        (b"", PLAIN, "empty"),
        (b"\x07abc", PLAIN, "kind 7"),
        (b"\x01" + bytes(255), PLAIN, r"255 bytes: expected 256 \(64 bins, compression none\)"),
        (b"\x01" + bytes(38), COMPRESSED, "38 bytes: expected 37"),
        (b"\x01" + struct.pack("<64f", *[float("nan")] * 64), PLAIN, "no numbers"),
        (b"\x01" + struct.pack("<64f", *[1e30] * 64), PLAIN, "no numbers"),
    ],
)
def test_what_is_no_row_is_refused_with_words(payload, band, why):
    with pytest.raises(ValueError, match=why):
        read_row(payload, band)


@pytest.mark.parametrize("kind", [2, 3, 4])
def test_audio_is_skipped(kind):
    assert read_row(bytes([kind]) + b"whatever", PLAIN) is None


def test_a_row_of_an_unknown_band_is_skipped():
    assert read_row(b"\x01abc", Band()) is None


def test_full_scale_is_what_csdr_makes_of_a_full_scale_tone():
    """csdr's own arithmetic: Hamming window, FFT, power, 70 dB off."""
    size = 4096
    tone = np.exp(2j * np.pi * 100.3 * np.arange(size) / size)
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(size) / size)
    row_db = 10 * np.log10(np.abs(np.fft.fft(tone * window)) ** 2) - 70
    total_db = 10 * np.log10(np.sum(10 ** (row_db / 10)))
    assert Band(145e6, 2.4e6, size, "none").full_scale_db == pytest.approx(total_db, abs=0.01)
