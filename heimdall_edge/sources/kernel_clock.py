"""What the kernel says of the host's clock: adjtimex(2), read only.

Whatever steers the clock (chronyd, ntpd, timesyncd, phc2sys) tells the kernel so, and the kernel
keeps the error bounds growing while nobody does. Reading needs no privilege; a seccomp filter that
forbids all of adjtimex(2), as systemd's ``ProtectClock=`` does, makes it unknown here.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

STA_PPSTIME, STA_UNSYNC, STA_CLOCKERR, STA_NANO = 0x0004, 0x0040, 0x1000, 0x2000
"""<sys/timex.h>"""
TIME_ERROR = 5
US = 1e-6


class Timex(ctypes.Structure):
    """``struct timex``: the C library's, with its ``long`` of 32 or 64 bits."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("tv_sec", ctypes.c_long),
        ("tv_usec", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),
    )
    """``rest``: what is not read here, and more than any C library writes."""


@dataclass(frozen=True, slots=True)
class KernelClock:
    """The kernel's own word on its clock."""

    is_synchronised: bool
    follows_pps: bool
    """A pulse per second disciplines it, within the kernel."""
    offset_s: float
    """What is still to be slewed."""
    max_error_s: float
    """Bound; grows by 500 ppm while nobody updates it."""
    estimated_error_s: float


def read_kernel_clock(*, adjtimex: object = None) -> KernelClock | None:
    """The state of CLOCK_REALTIME; ``None`` where the host does not let it be read."""
    if adjtimex is None:
        try:
            adjtimex = ctypes.CDLL(None).adjtimex
        except (OSError, AttributeError):
            return None
    assert callable(adjtimex)
    timex = Timex(modes=0)
    state = adjtimex(ctypes.byref(timex))
    return None if state < 0 else kernel_clock_of(timex, state)


def kernel_clock_of(timex: Timex, state: int) -> KernelClock:
    """What a filled ``struct timex`` and the call's result mean."""
    unit_s = 1e-9 if timex.status & STA_NANO else US
    return KernelClock(
        is_synchronised=state != TIME_ERROR and not timex.status & (STA_UNSYNC | STA_CLOCKERR),
        follows_pps=bool(timex.status & STA_PPSTIME),
        offset_s=timex.offset * unit_s,
        max_error_s=timex.maxerror * US,
        estimated_error_s=timex.esterror * US,
    )
