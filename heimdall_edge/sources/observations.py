"""Finished observations from a file, a pipe or standard input: one JSON line each.

::

    bytes ─▶ split_lines ─▶ parse ─▶ Observation …
                 └─ too long ─┴─ malformed ─▶ on_refused(line number, PayloadError)

A line that is refused never stops the rest.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from operator import attrgetter
from pathlib import Path
from typing import Literal

from heimdall_edge.errors import PayloadError, SourceDataError, SourceError
from heimdall_edge.sources.pace import in_real_time
from heimdall_edge.types import Listening, Observation

STANDARD_INPUT = Path("-")
STANDARD_INPUT_DESCRIPTOR = 0
MAX_LINE_BYTES = 4 * 2**20
READ_BYTES = 2**16
POLL_MS = 200
"""How soon a reader that waits for input sees that it was closed."""


def split_lines(chunks: Iterable[bytes], *, max_bytes: int) -> Iterator[bytes | None]:
    """Give each line as soon as it has ended; None in the place of one that is too long.

    What comes after the last line break is a line too.
    """
    line = bytearray()
    for chunk in chunks:
        end_of_line, *more = chunk.split(b"\n")
        line += end_of_line
        for begin_of_line in more:
            yield None if len(line) > max_bytes else bytes(line)
            line = bytearray(begin_of_line)
        del line[max_bytes + 1 :]  # enough to know that it is too long
    if line:
        yield None if len(line) > max_bytes else bytes(line)


class ObservationFileSource:
    """An :class:`~heimdall_edge.sources.base.ObservationSource`.

    Parameters
    ----------
    path
        A file or a named pipe; ``-`` is standard input.
    parse
        Reads a line of the published format; raises PayloadError for any other.
    pace
        ``real_time`` gives each observation when as much time has passed as between its start and
        the first one's.
    on_refused
        Told of each line that is malformed or too long: its number, from 1, and why.
    """

    def __init__(
        self,
        *,
        path: Path,
        parse: Callable[[bytes], Observation],
        pace: Literal["real_time", "fast"] = "fast",
        on_refused: Callable[[int, PayloadError], object] = lambda _number, _error: None,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self._path = path
        self._parse = parse
        self._pace = pace
        self._on_refused = on_refused
        self._max_line_bytes = max_line_bytes
        self._is_open = False
        self._n_bytes = self._given_bytes = 0
        self._closed = threading.Event()
        self.refused_lines = 0
        """Malformed or too long, so far."""

    @property
    def may_wait(self) -> bool:
        return True

    @property
    def progress(self) -> float:
        return min(1.0, self._given_bytes / self._n_bytes) if self._n_bytes else 0.0

    @property
    def device(self) -> str | None:
        return None

    def open(self) -> None:
        if self._closed.is_set():
            raise SourceError(f"{self._path}: observations were closed")
        if self._path != STANDARD_INPUT:
            try:
                self._path.stat()
            except OSError as error:
                reason = error.strerror or error
                raise SourceDataError(f"{self._path}: {reason}; expected a file") from error
        self._is_open = True

    def observations(self) -> Iterator[Observation | Listening]:
        if not self._is_open:
            raise SourceError(f"{self._path}: observations are not open")
        if self._pace == "fast":
            return self._parsed()
        return in_real_time(
            self._parsed(),
            begin_utc_ns=attrgetter("start_utc_ns"),
            due_utc_ns=attrgetter("start_utc_ns"),
            wait=self._closed.wait,
        )

    def close(self) -> None:
        self._closed.set()

    def _parsed(self) -> Iterator[Observation]:
        lines = split_lines(self._chunks(), max_bytes=self._max_line_bytes)
        for number, line in enumerate(lines, start=1):
            if self._closed.is_set():
                return
            self._given_bytes += self._max_line_bytes if line is None else len(line) + 1
            if line is None:
                self._refuse(number, PayloadError(f"longer than {self._max_line_bytes} bytes"))
            elif line.strip():
                try:
                    observation = self._parse(line)
                except PayloadError as error:
                    self._refuse(number, error)
                else:
                    yield observation
        self._given_bytes = self._n_bytes

    def _refuse(self, number: int, error: PayloadError) -> None:
        self.refused_lines += 1
        self._on_refused(number, error)

    def _chunks(self) -> Iterator[bytes]:
        """What has arrived, as it arrives; ends when closed."""
        try:
            with self._stream() as stream:
                status = os.fstat(stream.fileno())
                self._n_bytes = status.st_size if stat.S_ISREG(status.st_mode) else 0
                arrivals = select.poll()
                arrivals.register(stream, select.POLLIN)
                while not self._closed.is_set():
                    if arrivals.poll(POLL_MS):
                        chunk = stream.read(READ_BYTES)
                        if chunk == b"":
                            return
                        yield chunk or b""  # None: another reader of the pipe was faster
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror or error}") from error

    def _stream(self) -> FileIO:
        """The input, unbuffered: what is ready is read, and no more is waited for."""
        if self._path == STANDARD_INPUT:
            return FileIO(os.dup(STANDARD_INPUT_DESCRIPTOR))
        # A pipe that nobody writes to yet must not hold the reader up.
        return FileIO(self._path, opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))
