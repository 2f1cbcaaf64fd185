"""IQ recordings of KiwiSDRs with GNSS stamps, as ``kiwirecorder --kiwi-wav`` writes them.

::

    read_kiwi_wav() ─▶ KiwiRecording ── kiwi_blocks() ──▶ IQBlock …

The file is read as it goes, never mapped; memory holds one block. The name says what the file does
not: ``<UTC yyyymmddThhmmssZ>_<Hz>_<station>_iq.wav``, or without the station.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.errors import SourceDataError
from heimdall_edge.sources.gps_time import utc_of_week_time
from heimdall_edge.sources.kiwi_chunks import SAMPLE_BYTES, Layout, opened, read_layout
from heimdall_edge.sources.kiwi_stamps import MIN_SIGMA_S, NO_STAMP, fit_stamps
from heimdall_edge.types import NS_PER_S, ClockSource, ClockState, IQBlock, frozen_array

_NAME = re.compile(r"(\d{8}T\d{6}Z)_(\d+)(?:_(.+))?_iq\.wav", re.ASCII)
_NAME_FORM = "<UTC yyyymmddThhmmssZ>_<Hz>_<station>_iq.wav, or without a station"


@dataclass(frozen=True, slots=True, eq=False)
class KiwiRecording:
    """What a file holds, and when each sample was taken."""

    path: Path
    station: str
    center_freq_hz: float
    sample_rate_hz: float
    """From the stamps; as the header says (a whole number) where there are none."""
    start_utc_ns: int
    """When the first sample was taken."""
    clock: ClockState
    """Not locked where the receiver gave no stamps: ``start_utc_ns`` is the file name's then."""
    samples_per_block: int
    offset_bytes: NDArray[np.int64]
    """int64 [n_blocks]: where the samples of each block lie in the file; read-only."""
    block_index: NDArray[np.int64]
    """int64 [n_blocks]: which block each is, counting those that never came; read-only."""
    truncated_bytes: int = 0
    """Left out at the end of a file that was cut in the middle of a block."""
    unused_stamps: int = 0
    """Stamps that were absent, or contradicted the others."""

    @property
    def lost_blocks(self) -> int:
        """How many blocks never came."""
        return int(self.block_index[-1]) + 1 - len(self.block_index)

    def utc_ns(self, sample: int) -> int:
        """When a sample was taken, by its index (lost ones count)."""
        return self.start_utc_ns + round(sample * NS_PER_S / self.sample_rate_hz)


def read_kiwi_wav(
    path: Path,
    *,
    recorded_utc_ns: int | None = None,
    center_freq_hz: float | None = None,
) -> KiwiRecording:
    """Find a recording's blocks, and fit its time.

    Parameters
    ----------
    recorded_utc_ns
        When it was begun, to some days (it settles the GPS week); the file name's when left out.
    center_freq_hz
        The file name's when left out.

    Raises
    ------
    SourceDataError
        It cannot be read, is no such file, contradicts itself, or its name says too little.
    """
    named = _Name.of(path)
    begun_utc_ns = named.utc_ns if recorded_utc_ns is None else recorded_utc_ns
    center_freq_hz = named.center_freq_hz if center_freq_hz is None else center_freq_hz
    if begun_utc_ns is None or center_freq_hz is None:
        raise SourceDataError(
            f"{path}: the name does not say when and at which frequency; expected {_NAME_FORM}"
        )
    layout, truncated_bytes = read_layout(path)
    try:
        line = _Line.of(layout, begun_utc_ns)
    except ValueError as error:
        raise SourceDataError(f"{path}: {error}") from error
    return KiwiRecording(
        path=path,
        station=named.station,
        center_freq_hz=center_freq_hz,
        sample_rate_hz=line.sample_rate_hz,
        start_utc_ns=line.start_utc_ns,
        clock=line.clock,
        samples_per_block=layout.samples_per_block,
        offset_bytes=frozen_array(np.array(layout.offset_bytes)),
        block_index=frozen_array(line.block_index),
        truncated_bytes=truncated_bytes,
        unused_stamps=line.unused_stamps,
    )


def kiwi_blocks(recording: KiwiRecording, *, block_samples: int) -> Iterator[IQBlock]:
    """Give a recording's samples, in whole Kiwi blocks of together at most ``block_samples``.

    Raises
    ------
    SourceDataError
        The file is gone, or was cut since.
    """
    n = recording.samples_per_block
    step = max(1, block_samples // n)
    index = recording.block_index
    begins = np.flatnonzero(np.diff(index, prepend=-2) != 1)
    next_sample = 0
    with opened(recording.path) as file:
        for begin, end in zip(begins, [*begins[1:], len(index)], strict=True):
            for at in range(begin, end, step):
                offsets = recording.offset_bytes[at : min(at + step, end)]
                payload = b"".join(_payload(file, recording, int(offset)) for offset in offsets)
                sample_start = int(index[at]) * n
                yield IQBlock(
                    samples=frozen_array(np.frombuffer(payload, "<i2")),
                    datatype="ci16_le",
                    sample_rate_hz=recording.sample_rate_hz,
                    center_freq_hz=recording.center_freq_hz,
                    sample_start=sample_start,
                    start_utc_ns=recording.utc_ns(sample_start),
                    lost_samples=sample_start - next_sample,
                    clock=recording.clock,
                )
                next_sample = sample_start + len(offsets) * n


def _payload(file: BufferedReader, recording: KiwiRecording, offset: int) -> bytes:
    file.seek(offset)
    payload = file.read(recording.samples_per_block * SAMPLE_BYTES)
    if len(payload) < recording.samples_per_block * SAMPLE_BYTES:
        raise SourceDataError(f"{recording.path}: was cut at byte {offset + len(payload)} since")
    return payload


# ── its name, and its time ────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Name:
    """What a file's name says."""

    station: str
    utc_ns: int | None = None
    center_freq_hz: float | None = None

    @classmethod
    def of(cls, path: Path) -> _Name:
        match = _NAME.fullmatch(path.name)
        if match is None:
            return cls(path.stem)
        when, hertz, station = match.groups(default=path.stem)
        try:
            begun = datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            return cls(station, None, float(hertz))
        return cls(station, round(begun.timestamp()) * NS_PER_S, float(hertz))


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """The time of the samples: where it begins, and how fast it goes."""

    start_utc_ns: int
    sample_rate_hz: float
    clock: ClockState
    block_index: NDArray[np.int64]
    unused_stamps: int

    @classmethod
    def of(cls, layout: Layout, begun_utc_ns: int) -> _Line:
        """Fit it; ValueError where the stamps contradict each other."""
        stamps_ns = np.array(layout.stamps_ns)
        n_blocks = len(stamps_ns)
        if (stamps_ns == NO_STAMP).all():
            every = np.arange(n_blocks)
            return cls(begun_utc_ns, layout.nominal_rate_hz, ClockState(), every, n_blocks)
        fit = fit_stamps(
            stamps_ns,
            samples_per_block=layout.samples_per_block,
            nominal_rate_hz=layout.nominal_rate_hz,
        )
        start_utc_ns = utc_of_week_time(fit.week_time_ns, near_utc_ns=begun_utc_ns)
        sigma_s = max(fit.residual_s, MIN_SIGMA_S)
        clock = ClockState(ClockSource.GNSS, sigma_s=sigma_s, locked=True)
        return cls(start_utc_ns, fit.sample_rate_hz, clock, fit.block_index, n_blocks - fit.n_used)
