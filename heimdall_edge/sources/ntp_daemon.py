"""Asks the NTP daemon of this host for the time, and takes only what it says of itself.

ntpd, ntpsec and OpenNTPD answer any client, so that no privilege is needed, and no system call that
a hardened unit forbids. Layout: RFC 5905, figure 8; a client's request has its mode and a number in
the transmit timestamp, which the server gives back as the origin.

::

    │ leap, version, mode │ stratum │ poll │ precision │ root delay │ root dispersion │
    │ reference id │ reference time │ origin │ receive │ transmit │    4 bytes, and 8 each
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from heimdall_edge.sources.datagram import exchange

_PACKET = struct.Struct(">BBbbiI4s8x8s8x8x")
VERSION, CLIENT, SERVER = 4, 3, 4
NOT_SYNCHRONISED = 3
UNSTEERED = ("LOCL", "LCL", "ORPH")
"""Reference ids of a daemon that serves its own unsteered clock."""
ADDRESSES = (("127.0.0.1", 123), ("::1", 123))
TIMEOUT_S = 0.003
SHORT_FORMAT = 2**16
"""Delay and dispersion are fixed-point seconds, 16 bits after the point."""


@dataclass(frozen=True, slots=True)
class NtpStatus:
    """What an NTP server says of its own clock."""

    leap: int
    stratum: int
    reference_name: str
    """Of a stratum 1 server: its clock's letters, such as ``GPS``; empty for any other."""
    root_delay_s: float
    root_dispersion_s: float

    @property
    def is_synchronised(self) -> bool:
        return (
            self.leap != NOT_SYNCHRONISED
            and 0 < self.stratum < 16
            and self.reference_name not in UNSTEERED
        )


def ask_ntp_daemon(
    *, addresses: Sequence[tuple[str, int]] = ADDRESSES, timeout_s: float = TIMEOUT_S
) -> NtpStatus | None:
    """Ask; ``None`` where nobody answers in time, or not as a server."""
    for host, port in addresses:
        cookie = os.urandom(8)
        reply = exchange(host, port, ntp_request(cookie), timeout_s=timeout_s)
        if reply is not None and (status := parse_ntp(reply, cookie=cookie)) is not None:
            return status
    return None


def ntp_request(cookie: bytes) -> bytes:
    """A client's packet; ``cookie``, 8 bytes, stands where its own time would."""
    return bytes([VERSION << 3 | CLIENT]).ljust(40, b"\0") + cookie


def parse_ntp(reply: bytes, *, cookie: bytes) -> NtpStatus | None:
    """Read an answer; ``None`` where it is not the one to our request."""
    if len(reply) < _PACKET.size:
        return None
    first, stratum, _, _, delay, dispersion, reference, origin = _PACKET.unpack_from(reply)
    if first & 7 != SERVER or origin != cookie:
        return None
    letters = "".join(chr(c) for c in reference if 32 < c < 127) if stratum == 1 else ""
    return NtpStatus(
        leap=first >> 6,
        stratum=stratum,
        reference_name=letters,
        root_delay_s=delay / SHORT_FORMAT,
        root_dispersion_s=dispersion / SHORT_FORMAT,
    )
