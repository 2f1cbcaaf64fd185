"""The bytes of rtl_tcp: a header of twelve, then samples; commands of five.

After osmocom/rtl-sdr ``src/rtl_tcp.c``. Other servers speak it, too, or nearly so; what their
headers look like is told apart here (owrx_connector, SDRplay's rsp_tcp, SDRangel).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.rtl2832 import TUNERS

HEADER_BYTES = 12
MAGIC = b"RTL0"
EXTENDED_RSP_MAGIC = b"RSP0"
"""Follows the header when rsp_tcp runs with ``-E``: its samples may then be of another format."""
LARGEST_PARAMETER = 2**32 - 1
WRONG_SERVER_PAUSE_S = 60.0
"""Somebody must start another program there."""


class Operation(IntEnum):
    """Commands that every server of the family understands alike, and one fork's bandwidth."""

    CENTER_FREQ = 0x01
    SAMPLE_RATE = 0x02
    GAIN_MODE = 0x03
    TUNER_GAIN = 0x04
    PPM = 0x05
    DIGITAL_AGC = 0x08
    DIRECT_SAMPLING = 0x09
    OFFSET_TUNING = 0x0A
    BIAS_TEE = 0x0E
    BANDWIDTH = 0x40


@dataclass(frozen=True, slots=True)
class Dongle:
    """What a server's header says of its device."""

    tuner_type: int
    n_gains: int

    @property
    def tuner(self) -> str:
        """Name of the tuner; R820T stands for R820T2 and R860 as well."""
        known = TUNERS.get(self.tuner_type)
        return known.name if known else f"unknown tuner {self.tuner_type}"

    @property
    def gain_steps_tenth_db(self) -> tuple[int, ...]:
        """The tuner's steps; none where the server has another number of them: other hardware."""
        steps = TUNERS[self.tuner_type].gain_steps_tenth_db if self.tuner_type in TUNERS else ()
        return steps if len(steps) == self.n_gains else ()

    @property
    def takes_commands(self) -> bool:
        """False for OpenWebRX's connector, which says that it has no gains and reads no command."""
        return self.n_gains > 0


def parse_header(data: bytes) -> Dongle:
    """Read a header.

    Parameters
    ----------
    data
        The first :data:`HEADER_BYTES` bytes.

    Raises
    ------
    SourceError
        It is none: an old or foreign server.
    """
    if data[:4] != MAGIC[: len(data)]:
        raise SourceError(_foreign(data), pause_s=WRONG_SERVER_PAUSE_S)
    if len(data) < HEADER_BYTES:
        raise SourceError(f"half a header ({len(data)} of {HEADER_BYTES} bytes)")
    tuner_type, n_gains = struct.unpack_from(">II", data, 4)
    return Dongle(tuner_type, n_gains)


def refuse_extended(samples: bytes | bytearray) -> None:
    """Check the first bytes after the header.

    Raises
    ------
    SourceError
        They are no samples, but the second header of rsp_tcp's extended mode.
    """
    if bytes(samples[:4]) == EXTENDED_RSP_MAGIC:
        raise SourceError(
            "rsp_tcp in extended mode: start it without -E, so that it gives 8 bit samples",
            pause_s=WRONG_SERVER_PAUSE_S,
        )


def command(operation: Operation, parameter: int) -> bytes:
    """The five bytes of a command; a negative parameter goes as two's complement.

    Parameters
    ----------
    parameter
        -2³¹ … 2³²-1.
    """
    return struct.pack(">BI", operation, parameter & LARGEST_PARAMETER)


def _foreign(data: bytes) -> str:
    expected = f"expected a header that begins with {MAGIC.decode()}"
    if data[:4] == b"SDRA":
        return f"SDRangel's own protocol: {expected}; choose RTL0 in its Remote TCP Sink"
    begins = data[:4].decode("ascii", "replace")
    if begins.isascii() and begins.isprintable():
        return f"no rtl_tcp: it begins with {data!r}; {expected}"
    return f"samples without a header, so an old or foreign server: {expected}"
