"""Samples in a file, read block by block.

::

    read_raw()   ──┐
    read_sigmf() ──┴─▶ SampleFile ── sample_blocks() ──▶ IQBlock …

The file is read as it goes, never mapped: a file that is cut while it is read then gives an error
instead of a bus fault, and memory holds one block.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.types import (
    NS_PER_S,
    ClockState,
    IQBlock,
    Place,
    SampleFormat,
)

COMPONENT: dict[SampleFormat, np.dtype[Any]] = {
    "cu8": np.dtype("u1"),
    "ci8": np.dtype("i1"),
    "ci16_le": np.dtype("<i2"),
    "ci16_be": np.dtype(">i2"),
    "cf32_le": np.dtype("<f4"),
}
"""What I is, and Q after it."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Samples that follow each other without a gap, taken with one setting."""

    offset_bytes: int
    """Where they lie in the file."""
    n_samples: int
    sample_start: int
    """Index of the first one, counted from the file's first sample; lost ones count too."""
    start_utc_ns: int
    center_freq_hz: float
    lost_samples: int = 0
    """Samples that the recorder lost just before the first one."""
    place: Place | None = None
    gain_db: float | None = None


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A file of samples, and what is known of them."""

    path: Path
    datatype: SampleFormat
    sample_rate_hz: float
    segments: tuple[Segment, ...]
    """In time order; at least one, and none is empty."""
    truncated_bytes: int = 0
    """Left over at the end of the file: less than a whole sample."""

    @property
    def n_samples(self) -> int:
        return sum(segment.n_samples for segment in self.segments)


def read_raw(
    path: Path,
    *,
    datatype: SampleFormat,
    sample_rate_hz: float,
    center_freq_hz: float,
    start_utc_ns: int | None = None,
) -> SampleFile:
    """Take a file without a header at its owner's word.

    Parameters
    ----------
    start_utc_ns : int, optional
        When the first sample was taken; the file's modification time when left out.

    Raises
    ------
    SourceDataError
        The file is not there, is no regular file, or holds no whole sample.
    """
    n_bytes, modified_utc_ns = size_and_time(path)
    n_samples, truncated_bytes = divmod(n_bytes, sample_bytes(datatype))
    if not n_samples:
        raise SourceDataError(
            f"{path}: {n_bytes} bytes; expected at least one sample of {sample_bytes(datatype)} "
            f"({datatype})"
        )
    start_utc_ns = modified_utc_ns if start_utc_ns is None else start_utc_ns
    segment = Segment(0, n_samples, 0, start_utc_ns, center_freq_hz)
    return SampleFile(path, datatype, sample_rate_hz, (segment,), truncated_bytes)


def sample_bytes(datatype: SampleFormat) -> int:
    """How many bytes an I with its Q takes."""
    return 2 * COMPONENT[datatype].itemsize


def size_and_time(path: Path) -> tuple[int, int]:
    """A regular file's length in bytes, and when it was last written (UTC, ns).

    Raises
    ------
    SourceDataError
        There is none of that name.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise SourceDataError(f"{path}: {error.strerror or error}; expected a file") from error
    if not stat.S_ISREG(status.st_mode):
        raise SourceDataError(f"{path}: expected a regular file")
    return status.st_size, status.st_mtime_ns


def duration_ns(n_samples: int, sample_rate_hz: float) -> int:
    """How long so many samples last, rounded once: exact after any number of days."""
    numerator, denominator = sample_rate_hz.as_integer_ratio()
    return (2 * n_samples * NS_PER_S * denominator + numerator) // (2 * numerator)


def sample_blocks(file: SampleFile, *, block_samples: int, clock: ClockState) -> Iterator[IQBlock]:
    """Give a file's samples in blocks of ``block_samples``; a segment's last one is shorter.

    Raises
    ------
    SourceError
        The file cannot be read.
    SourceDataError
        It became shorter since it was opened.
    """
    try:
        with file.path.open("rb") as stream:
            for segment in file.segments:
                stream.seek(segment.offset_bytes)
                for done in range(0, segment.n_samples, block_samples):
                    n_samples = min(block_samples, segment.n_samples - done)
                    yield IQBlock(
                        samples=_read_samples(stream, file, n_samples),
                        datatype=file.datatype,
                        sample_rate_hz=file.sample_rate_hz,
                        center_freq_hz=segment.center_freq_hz,
                        sample_start=segment.sample_start + done,
                        start_utc_ns=segment.start_utc_ns + duration_ns(done, file.sample_rate_hz),
                        lost_samples=segment.lost_samples if done == 0 else 0,
                        clock=clock,
                        place=segment.place,
                        gain_db=segment.gain_db,
                    )
    except OSError as error:
        raise SourceError(f"{file.path}: {error.strerror or error}") from error


def _read_samples(stream: BufferedReader, file: SampleFile, n_samples: int) -> NDArray[Any]:
    """The next samples, interleaved I, Q in the file's own numbers; [2 * n_samples]; read-only."""
    position = stream.tell()
    wanted_bytes = n_samples * sample_bytes(file.datatype)
    content = stream.read(wanted_bytes)
    if len(content) < wanted_bytes:
        raise SourceDataError(
            f"{file.path}: ends at byte {position + len(content)}; expected "
            f"{position + wanted_bytes}, as when it was opened"
        )
    return np.frombuffer(content, COMPONENT[file.datatype])
