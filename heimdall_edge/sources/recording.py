"""A recording that is played as a receiver: SigMF, KiwiSDR wav, or bare samples.

The blocks carry the recording's own times, whether they are given as they were received or as fast
as the consumer takes them. Nothing is lost: a file waits.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import takewhile
from operator import attrgetter
from pathlib import Path
from typing import Literal

from heimdall_edge import journal
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import ConfigError, SourceError
from heimdall_edge.sources.kiwi_wav import kiwi_blocks, read_kiwi_wav
from heimdall_edge.sources.pace import in_real_time
from heimdall_edge.sources.raw import SampleFile, read_raw, sample_blocks
from heimdall_edge.sources.sigmf import ARCHIVE, DATA, META, read_sigmf
from heimdall_edge.timestamps import utc_ns
from heimdall_edge.types import ClockSource, ClockState, IQBlock, SampleFormat

FileFormat = Literal["auto", "sigmf", "kiwi_wav", "raw"]

log = journal.logger("recording")


def format_of(path: Path) -> FileFormat:
    """What a file is by its name; anything unknown is bare samples."""
    suffix = path.suffix.lower()
    if suffix in {META, DATA, ARCHIVE}:
        return "sigmf"
    return "kiwi_wav" if suffix == ".wav" else "raw"


class RecordingSource:
    """An :class:`~heimdall_edge.sources.base.IQSource`.

    Parameters
    ----------
    sample_rate_hz, center_freq_hz
        Bare samples need both; a SigMF recording takes them where it gives none itself. For a
        KiwiSDR's file the frequency comes before the one in its name.
    start_utc_ns
        When the first sample was taken, where the file does not say; its modification time when
        left out, or the time in a KiwiSDR's file name.
    clock
        Of the stamps of SigMF and bare samples; a KiwiSDR's file says that itself.
    antenna_height_m
        Above the ground, of the places that the recording gives.
    has_place
        The configuration says where the antenna is: the recording's own places are left out.

    Raises
    ------
    ConfigError
        Bare samples, and no word of their rate or frequency.
    """

    def __init__(
        self,
        *,
        path: Path,
        file_format: FileFormat = "auto",
        datatype: SampleFormat = "cu8",
        sample_rate_hz: float | None = None,
        center_freq_hz: float | None = None,
        start_utc_ns: int | None = None,
        pace: Literal["real_time", "fast"] = "fast",
        block_samples: int = 65_536,
        clock: ClockState | None = None,
        antenna_height_m: float = 0.0,
        has_place: bool = False,
    ) -> None:
        self._path = path
        self._format = format_of(path) if file_format == "auto" else file_format
        self._datatype = datatype
        self._sample_rate_hz, self._center_freq_hz = sample_rate_hz, center_freq_hz
        self._start_utc_ns = start_utc_ns
        self._pace = pace
        self._block_samples = block_samples
        self._clock = clock or ClockState()
        self._antenna_height_m, self._has_place = antenna_height_m, has_place
        self._blocks: Iterator[IQBlock] | None = None
        self._n_samples = self._n_given = 0
        self._closed = threading.Event()
        if self._format == "raw" and (sample_rate_hz is None or center_freq_hz is None):
            raise ConfigError(
                f"{path}: bare samples; expected sample_rate_hz and center_freq_hz of the receiver"
            )

    @classmethod
    def from_config(cls, receiver: Receiver) -> RecordingSource:
        """The source of a receiver of kind ``recording``; raises as the constructor does."""
        recording = receiver.recording
        assert recording is not None, "the configuration's own check"
        source = receiver.clock.clock_source
        locked = source is not ClockSource.NONE
        return cls(
            path=recording.path,
            file_format=recording.format,
            datatype=recording.datatype,
            sample_rate_hz=receiver.sample_rate_hz,
            center_freq_hz=receiver.center_freq_hz,
            start_utc_ns=_instant(recording.start_utc, f"receiver {receiver.id!r}"),
            pace=recording.pace,
            block_samples=recording.block_samples,
            clock=ClockState(source, sigma_s=receiver.clock.sigma_s, locked=locked),
            antenna_height_m=receiver.antenna_height_m,
            has_place=receiver.latitude_deg is not None,
        )

    @property
    def may_wait(self) -> bool:
        return True

    @property
    def progress(self) -> float:
        return self._n_given / self._n_samples if self._n_samples else 0.0

    @property
    def device(self) -> str | None:
        return None

    def open(self) -> None:
        """Read what the file says of itself, and check it; a SHA-512 takes as long as the disk."""
        if self._closed.is_set():
            raise SourceError(f"{self._path}: recording was closed")
        if self._format == "kiwi_wav":
            truncated_bytes = self._open_kiwi_wav()
        else:
            truncated_bytes = self._open_sample_file()
        if truncated_bytes:
            log.warning("recording_cut", path=self._path, bytes_left_over=truncated_bytes)

    def blocks(self) -> Iterator[IQBlock]:
        if self._blocks is None:
            raise SourceError(f"{self._path}: recording is not open")
        blocks = takewhile(lambda _: not self._closed.is_set(), self._blocks)
        if self._pace == "fast":
            return self._counted(blocks)
        paced = in_real_time(
            blocks,
            begin_utc_ns=attrgetter("start_utc_ns"),
            due_utc_ns=attrgetter("end_utc_ns"),
            wait=self._closed.wait,
        )
        return self._counted(paced)

    def close(self) -> None:
        self._closed.set()

    def _counted(self, blocks: Iterable[IQBlock]) -> Iterator[IQBlock]:
        for block in blocks:
            self._n_given += block.n_samples
            yield block

    def _open_kiwi_wav(self) -> int:
        """How many bytes are left over at the file's end."""
        recording = read_kiwi_wav(
            self._path, recorded_utc_ns=self._start_utc_ns, center_freq_hz=self._center_freq_hz
        )
        self._n_samples = len(recording.offset_bytes) * recording.samples_per_block
        self._blocks = kiwi_blocks(recording, block_samples=self._block_samples)
        return recording.truncated_bytes

    def _open_sample_file(self) -> int:
        """How many bytes are left over at the file's end."""
        file = self._read_raw() if self._format == "raw" else self._read_sigmf()
        self._n_samples = file.n_samples
        self._blocks = sample_blocks(file, block_samples=self._block_samples, clock=self._clock)
        return file.truncated_bytes

    def _read_raw(self) -> SampleFile:
        assert self._sample_rate_hz is not None
        assert self._center_freq_hz is not None
        return read_raw(
            self._path,
            datatype=self._datatype,
            sample_rate_hz=self._sample_rate_hz,
            center_freq_hz=self._center_freq_hz,
            start_utc_ns=self._start_utc_ns,
        )

    def _read_sigmf(self) -> SampleFile:
        file = read_sigmf(
            self._path,
            sample_rate_hz=self._sample_rate_hz,
            center_freq_hz=self._center_freq_hz,
            start_utc_ns=self._start_utc_ns,
            antenna_height_m=self._antenna_height_m,
            proceed=lambda: not self._closed.is_set(),
        )
        if not self._has_place:
            return file
        return replace(file, segments=tuple(replace(s, place=None) for s in file.segments))


def _instant(text: str | None, where: str) -> int | None:
    try:
        return None if text is None else utc_ns(text)
    except ValueError as error:
        raise ConfigError(f"{where}.recording.start_utc = {text!r}: {error}") from error
