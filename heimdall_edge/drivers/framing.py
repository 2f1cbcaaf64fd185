"""What goes through the pipe between a driver's process and the daemon, and how it is read.

::

    driver ──▶ frame: header │ payload ──▶ pipe ──▶ FrameParser ──▶ Frame

    header, little-endian, 48 bytes
       0  4  magic "hEdF"           24  8  samples lost just before, as the driver knows
       4  1  kind                   32  8  samples dropped just before, for want of room
       5  1  flags                  40  4  length of the payload
       6  2  channel                44  4  zero
       8  8  monotonic ns when the payload's last byte was at hand
      16  8  the device's own time of its first sample, ns; -1 where it has none

The other way go commands, one JSON object a line; the first line is the driver's settings, and the
end of that stream means "stop".
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

MAGIC = b"hEdF"
HEADER = struct.Struct("<4sBBHqqQQI4x")
NO_DEVICE_TIME = -1
MAX_SAMPLES_BYTES = 4 * 1024 * 1024
MAX_JSON_BYTES = 64 * 1024

FLAG_OVERFLOW = 0x01
"""The driver says that samples were lost just before, and not how many."""


class FrameKind(IntEnum):
    """What a frame's payload is."""

    HELLO = 1
    """JSON, once, first: what was opened, and with which settings in force."""
    SAMPLES = 2
    """Samples in the format that HELLO names."""
    EVENT = 3
    """JSON: something that happened between the samples before and those after it."""
    ERROR = 4
    """JSON ``{"reason": code, "message": text, "permanent": bool}``: the driver gives up."""


KINDS = frozenset(int(kind) for kind in FrameKind)


class FramingError(ValueError):
    """Bytes that are no frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, whole."""

    kind: FrameKind
    payload: bytes = b""
    monotonic_ns: int = 0
    """When its last byte was at hand, on the host's monotonic clock, which all processes share."""
    device_time_ns: int | None = None
    """The device's own time of its first sample, where it has a clock."""
    lost_samples: int = 0
    """Known to be lost just before it by the device or the driver."""
    dropped_samples: int = 0
    """Dropped just before it, for the pipe was full."""
    channel: int = 0
    flags: int = 0

    @classmethod
    def of_json(cls, kind: FrameKind, said: Mapping[str, object], *, monotonic_ns: int) -> Frame:
        """A frame that says something."""
        payload = json.dumps(said, separators=(",", ":")).encode()
        return cls(kind, payload, monotonic_ns)

    @property
    def json(self) -> dict[str, Any]:
        """The payload of any kind but SAMPLES.

        Raises
        ------
        FramingError
            It is no JSON object.
        """
        try:
            found = json.loads(self.payload)
        except (ValueError, RecursionError) as error:
            raise FramingError(f"{self.kind.name} frame: no JSON: {error}") from error
        if not isinstance(found, dict):
            raise FramingError(f"{self.kind.name} frame: expected a JSON object")
        return found

    @property
    def header(self) -> bytes:
        """The bytes that go before the payload.

        Raises
        ------
        FramingError
            The payload is longer than the reader would accept.
        """
        _check_length(self.kind, len(self.payload))
        device_time_ns = NO_DEVICE_TIME if self.device_time_ns is None else self.device_time_ns
        return HEADER.pack(
            MAGIC,
            self.kind,
            self.flags,
            self.channel,
            self.monotonic_ns,
            device_time_ns,
            self.lost_samples,
            self.dropped_samples,
            len(self.payload),
        )

    def __bytes__(self) -> bytes:
        return self.header + self.payload


class FrameParser:
    """Bytes, in pieces of any size → frames: ``feed`` it, then iterate over what is whole.

    Iterating raises :class:`FramingError` at bytes that are no frame; nothing that follows them can
    be trusted.
    """

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._held += data

    def __len__(self) -> int:
        """Bytes that it holds; less than a frame's when all whole ones were taken."""
        return len(self._held)

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self._take()) is not None:
            yield frame

    def _take(self) -> Frame | None:
        if len(self._held) < HEADER.size:
            return None
        magic, kind, flags, channel, at_ns, device_ns, lost, dropped, length = HEADER.unpack_from(
            self._held
        )
        if magic != MAGIC:
            raise FramingError(f"expected a frame's {MAGIC!r}, found {magic!r}")
        if kind not in KINDS:
            raise FramingError(f"frame of unknown kind {kind}")
        _check_length(FrameKind(kind), length)
        end = HEADER.size + length
        if len(self._held) < end:
            return None
        with memoryview(self._held) as view:
            payload = bytes(view[HEADER.size : end])
        del self._held[:end]
        return Frame(
            FrameKind(kind),
            payload,
            at_ns,
            None if device_ns == NO_DEVICE_TIME else device_ns,
            lost,
            dropped,
            channel,
            flags,
        )


def _check_length(kind: FrameKind, length: int) -> None:
    limit = MAX_SAMPLES_BYTES if kind is FrameKind.SAMPLES else MAX_JSON_BYTES
    if length > limit:
        raise FramingError(f"{kind.name} frame of {length} bytes: expected {limit} at most")
