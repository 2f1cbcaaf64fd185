"""A stream of an open SoapySDR device: blocks of samples, and what the driver says of them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from heimdall_edge.drivers.soapy_calls import Calls

HAS_TIME = 1 << 2
END_ABRUPT = 1 << 3
"""The driver says that samples are missing after these."""
TIMEOUT, CORRUPTION, OVERFLOW = -1, -3, -4


@dataclass(frozen=True, slots=True)
class Read:
    """What one call for samples gave."""

    n_samples: int
    """Of each channel; 0 where ``status`` says why there are none."""
    status: int = 0
    flags: int = 0
    time_ns: int | None = None
    """The driver's time of the first sample, where it has one: seldom UTC."""


class Stream:
    """Samples of one or several channels, beside each other."""

    def __init__(self, calls: Calls, device: int, handle: int, n_channels: int) -> None:
        self._calls, self._device, self._handle = calls, device, handle
        self._addresses = (ctypes.c_void_p * n_channels)()
        self._flags, self._time_ns = ctypes.c_int(), ctypes.c_longlong()

    def start(self) -> None:
        self._calls.do("activateStream", self._device, self._handle, 0, 0, 0)

    def read(self, addresses: Sequence[int], n_samples: int, *, timeout_s: float) -> Read:
        """Wait for samples, at most ``n_samples`` of each channel.

        ``addresses`` says where each channel's go. A driver that hangs never returns.
        """
        for i, address in enumerate(addresses):
            self._addresses[i] = address
        self._flags.value = 0
        status = self._calls.bare(
            "readStream",
            self._device,
            self._handle,
            self._addresses,
            n_samples,
            ctypes.byref(self._flags),
            ctypes.byref(self._time_ns),
            round(timeout_s * 1e6),
        )
        flags = self._flags.value
        time_ns = self._time_ns.value if flags & HAS_TIME else None
        if status < 0:
            return Read(0, status, flags, time_ns)
        return Read(status, 0, flags, time_ns)

    def close(self) -> None:
        if self._handle:
            self._calls.bare("deactivateStream", self._device, self._handle, 0, 0)
            self._calls.bare("closeStream", self._device, self._handle)
            self._handle = 0
