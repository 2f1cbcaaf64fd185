"""Asks chronyd how well it tracks: one datagram each way, on this host only.

Layout: ``candm.h`` of chrony, protocol version 6; all numbers are big-endian. The request is as
long as its reply, else chronyd refuses it.

::

    request  │ 6 │ 1 │ 0 0 │ command │ attempt │ sequence │ 8 × 0 │ padding …
    reply    │ 6 │ 2 │ 0 0 │ command │ reply │ status │ 6 × 0 │ sequence │ 8 × 0 │ tracking
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from heimdall_edge.sources.datagram import exchange

VERSION, REQUEST, REPLY = 6, 1, 2
TRACKING_COMMAND, TRACKING_REPLY, SUCCESS = 33, 5, 0
_REQUEST = struct.Struct(">BBHHHI8x")
_REPLY = struct.Struct(">BBHHHH6xI8x")
_TRACKING = struct.Struct(">I16sHxxHHIIIIIIIIIIII")
TRACKING_BYTES = _REPLY.size + _TRACKING.size
NO_ADDRESS = 0
"""Family of an address that is none."""
NOT_SYNCHRONISED = 3
"""Leap status (RFC 5905, figure 9)."""
LOCAL_REFERENCE = 0x7F7F0101
"""What chronyd names its own unsteered clock, where ``local`` lets it serve that."""
ADDRESSES = (("127.0.0.1", 323), ("::1", 323))
TIMEOUT_S = 0.003


@dataclass(frozen=True, slots=True)
class ChronyTracking:
    """What ``chronyc tracking`` prints."""

    reference_id: int
    is_reference_clock: bool
    """Steered by a clock at this host (GNSS, PPS, PHC), not by a server on the network."""
    stratum: int
    leap_status: int
    current_correction_s: float
    """By how much the clock is off, and is being slewed."""
    last_offset_s: float
    rms_offset_s: float
    skew_ppm: float
    """Error bound of its frequency."""
    root_delay_s: float
    root_dispersion_s: float

    @property
    def is_synchronised(self) -> bool:
        return (
            self.leap_status != NOT_SYNCHRONISED
            and 0 < self.stratum < 16
            and self.reference_id not in (0, LOCAL_REFERENCE)
        )

    @property
    def reference_name(self) -> str:
        """The reference clock's four letters, such as ``GPS``; what is no letter is left out."""
        letters = self.reference_id.to_bytes(4, "big")
        return "".join(chr(c) for c in letters if 32 < c < 127)


def ask_chrony(
    *, addresses: Sequence[tuple[str, int]] = ADDRESSES, timeout_s: float = TIMEOUT_S
) -> ChronyTracking | None:
    """Ask chronyd on this host; ``None`` where none answers in time, or not in its protocol."""
    for host, port in addresses:
        sequence = int.from_bytes(os.urandom(4), "big")
        reply = exchange(host, port, tracking_request(sequence), timeout_s=timeout_s)
        if reply is not None and (tracking := parse_tracking(reply, sequence=sequence)) is not None:
            return tracking
    return None


def tracking_request(sequence: int) -> bytes:
    """The datagram that asks for ``tracking``."""
    header = _REQUEST.pack(VERSION, REQUEST, 0, TRACKING_COMMAND, 0, sequence)
    return header.ljust(TRACKING_BYTES, b"\0")


def parse_tracking(reply: bytes, *, sequence: int) -> ChronyTracking | None:
    """Read a reply; ``None`` where it is not the one that was asked for, or makes no sense."""
    if len(reply) < TRACKING_BYTES:
        return None
    version, kind, _, command, reply_code, status, echoed = _REPLY.unpack_from(reply)
    said = (version, kind, command, reply_code, status, echoed)
    if said != (VERSION, REPLY, TRACKING_COMMAND, TRACKING_REPLY, SUCCESS, sequence):
        return None
    reference_id, _, family, stratum, leap, *rest = _TRACKING.unpack_from(reply, _REPLY.size)
    correction, last, rms, _, _, skew, delay, dispersion, _ = (wire_float(n) for n in rest[3:])
    return ChronyTracking(
        reference_id=reference_id,
        is_reference_clock=family == NO_ADDRESS,
        stratum=stratum,
        leap_status=leap,
        current_correction_s=correction,
        last_offset_s=last,
        rms_offset_s=rms,
        skew_ppm=skew,
        root_delay_s=delay,
        root_dispersion_s=dispersion,
    )


def wire_float(word: int) -> float:
    """Chrony's own 32-bit float: a signed exponent of 7 bits, a signed coefficient of 25."""
    exponent, coefficient = word >> 25, word & (1 << 25) - 1
    exponent -= (exponent >> 6) << 7
    coefficient -= (coefficient >> 24) << 25
    return math.ldexp(coefficient, exponent - 25)
