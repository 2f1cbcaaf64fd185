"""Rows of an OpenWebRX server's spectrum: what band they show, and what they say of each bin.

Sources: jketterl/openwebrx, luarvique/openwebrx (``csdr/chain/fft.py``), jketterl/csdr. Whatever is
malformed raises ValueError with words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.sources.ima_adpcm import LARGEST_STEP_NIBBLE, decode, nibbles_of
from heimdall_edge.types import Float32, frozen_array

LEAST_FFT_SIZE, GREATEST_FFT_SIZE = 64, 1 << 17
ROW_KIND = 1
AUDIO_KINDS = frozenset({2, 3, 4})
"""Audio, the secondary spectrum, audio of high rate: not for us."""
ADPCM_LEAD_SAMPLES = 10
"""Padding in front of a compressed row, so that the decoder finds its step."""
ADPCM_PER_DB = 100
GREATEST_LEVEL_DB = 300.0

_CSDR_ADDS_DB = -70.0
_HAMMING_MEAN_SQUARE = 0.54**2 + 0.46**2 / 2

Compression = Literal["none", "adpcm"]


@dataclass(frozen=True, slots=True)
class Band:
    """What the receiver is tuned to and how it sends rows, as far as it has said so."""

    center_freq_hz: float | None = None
    sample_rate_hz: float | None = None
    fft_size: int | None = None
    fft_compression: Compression | None = None
    profile: str | None = None
    """Of an SDR, by the server's own name for it."""

    @property
    def is_whole(self) -> bool:
        """Whether a row can be read, and its frequencies are known."""
        parts = (self.center_freq_hz, self.sample_rate_hz, self.fft_size, self.fft_compression)
        return None not in parts

    @property
    def edges_hz(self) -> tuple[float, float]:
        """Lowest and highest frequency; (NaN, NaN) where that is unknown."""
        if self.center_freq_hz is None or self.sample_rate_hz is None:
            return (math.nan, math.nan)
        half_hz = self.sample_rate_hz / 2
        return (self.center_freq_hz - half_hz, self.center_freq_hz + half_hz)

    @property
    def bin_hz(self) -> float:
        """Width of a row's bin."""
        return (self.sample_rate_hz or math.nan) / (self.fft_size or math.nan)

    @property
    def full_scale_db(self) -> float:
        """What the powers of a full-scale tone's bins add up to, in dB.

        csdr sums |FFT of (samples · Hamming window)|² without dividing by the size, and takes 70
        dB off. Taken off in turn, levels stay the same when an owner changes the size, and are
        about those of the S-meter.
        """
        size = self.fft_size or math.nan
        return 20 * math.log10(size) + 10 * math.log10(_HAMMING_MEAN_SQUARE) + _CSDR_ADDS_DB


@dataclass(frozen=True, slots=True, eq=False)
class SpectrumRow:
    """Mean power of each bin over the time since the row before."""

    db: Float32
    """float32 [fft_size], relative, lowest frequency first; read-only."""
    is_slewing: NDArray[np.bool_] | None = None
    """bool [fft_size]: the compression was still climbing here, the truth may be far higher; None
    where nothing is compressed."""


def read_row(payload: bytes, band: Band) -> SpectrumRow | None:
    """Read a binary message; None for one that is no row, such as audio."""
    if not payload:
        raise ValueError("an empty binary message")
    if payload[0] != ROW_KIND:
        if payload[0] not in AUDIO_KINDS:
            raise ValueError(f"binary message of kind {payload[0]}: expected 1 to 4")
        return None
    if not band.is_whole or band.fft_size is None:
        return None
    body = payload[1:]
    if band.fft_compression == "none":
        _check_size(body, 4 * band.fft_size, band)
        db = np.frombuffer(body, "<f4").astype(np.float32)
        if not float(np.abs(db).max()) <= GREATEST_LEVEL_DB:  # NaN compares false
            raise ValueError("a row holds levels that are no numbers between -300 and 300 dB")
        return SpectrumRow(frozen_array(db))
    _check_size(body, (band.fft_size + ADPCM_LEAD_SAMPLES + 1) // 2, band)
    nibbles = nibbles_of(body)
    wanted = slice(ADPCM_LEAD_SAMPLES, ADPCM_LEAD_SAMPLES + band.fft_size)
    compressed_db = decode(nibbles)[wanted].astype(np.float32) / np.float32(ADPCM_PER_DB)
    is_slewing = (nibbles[wanted] & 7) == LARGEST_STEP_NIBBLE
    return SpectrumRow(frozen_array(compressed_db), frozen_array(is_slewing))


def _check_size(body: bytes, expected: int, band: Band) -> None:
    if len(body) != expected:
        raise ValueError(
            f"a row of {len(body)} bytes: expected {expected} "
            f"({band.fft_size} bins, compression {band.fft_compression})"
        )
