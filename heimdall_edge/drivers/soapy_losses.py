"""How many samples are missing between two reads, by the driver's word and by its time.

::

    read  read   overflow   read              the time of this one says how many are missing
    ────┐┌────┐     ✗      ┌────
        └┘    └┄┄ lost ┄┄┄┄┘

A driver's time may count samples, follow the device's clock, be set anew by a GNSS receiver, or be
wrong: SoapyRTLSDR 0.3.3 counts bytes, so that each of its buffers seems to miss as much again. It
is believed once it has agreed with the samples for a while, and for no more samples than the host's
own clock had time for.
"""

from __future__ import annotations

from dataclasses import dataclass

from heimdall_edge.drivers.soapy_stream import CORRUPTION, END_ABRUPT, OVERFLOW, Read

NS_PER_S = 1_000_000_000
PROOF_S = 1.0
"""How long a driver's time must agree with its samples; longer than any driver's buffer."""
UNSAID_MIN_SAMPLES = 16
UNSAID_SHARE = 1e-3
"""A gap that the driver does not speak of is longer than that, and than this share of the read
before it: a hardware's time may run a little apart from its samples."""
SLACK_S = 0.25
"""Samples that a device may have in store, and give faster than they were taken."""
FORGET_S = 60.0
"""Time constant of what the host's clock is ahead or behind: a crystal's error is no loss."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What is missing just before a read."""

    lost_samples: int = 0
    is_unknown: bool = False
    """The driver says that samples were lost, and nothing says how many."""

    @property
    def is_gap(self) -> bool:
        return self.is_unknown or self.lost_samples > 0


class LossMeter:
    """Follows the reads of one stream."""

    def __init__(self, sample_rate_hz: float) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._is_said = False
        self._next_time_ns: int | None = None
        """The driver's time of the sample that should come next."""
        self._last_n = 0
        self._proof_s = 0.0
        """For how long the driver's time has agreed with the samples."""
        self._untimed = 0
        """Samples since the last read that had a time."""
        self._read_monotonic_ns: int | None = None
        self._credit = 0.0
        """Samples that there was time for, and that neither came nor are counted as lost."""

    def take(self, read: Read, monotonic_ns: int) -> Missing:
        """What is missing before a read that just returned; it may have brought no samples."""
        if read.status in (OVERFLOW, CORRUPTION):
            self._is_said = True
        if not read.n_samples:
            return Missing()
        self._gain_credit(monotonic_ns)
        missing = self._missing(read)
        used = read.n_samples + missing.lost_samples
        self._credit = max(self._credit - used, -SLACK_S * self._sample_rate_hz)
        began_ns = self._next_time_ns if read.time_ns is None else read.time_ns
        if began_ns is not None:  # SoapyRemote stamps one read of many
            duration_ns = round(read.n_samples * NS_PER_S / self._sample_rate_hz)
            self._next_time_ns = began_ns + duration_ns
        self._last_n = read.n_samples
        self._is_said = bool(read.flags & END_ABRUPT)
        return missing

    def _missing(self, read: Read) -> Missing:
        gap = self._gap(read)
        if gap is None:
            self._untimed += read.n_samples
            return Missing(is_unknown=self._is_said)
        agreed, self._untimed = self._untimed + read.n_samples, 0
        is_proven = self._proof_s >= PROOF_S
        is_plain = abs(gap) <= max(UNSAID_MIN_SAMPLES, UNSAID_SHARE * self._last_n)
        if is_plain and not self._is_said:
            self._proof_s += agreed / self._sample_rate_hz
            return Missing()
        had_time = gap <= self._credit - read.n_samples + SLACK_S * self._sample_rate_hz
        if is_proven and gap >= 0 and had_time:
            return Missing(gap, is_unknown=gap == 0)
        self._proof_s = 0.0
        return Missing(is_unknown=self._is_said)

    def _gap(self, read: Read) -> int | None:
        """Samples between this read and the one before, by its time; ``None``: nobody knows."""
        if read.time_ns is None or self._next_time_ns is None:
            return None
        late_ns = read.time_ns - self._next_time_ns
        return round(late_ns * self._sample_rate_hz / NS_PER_S)

    def _gain_credit(self, monotonic_ns: int) -> None:
        if self._read_monotonic_ns is not None:
            waited_s = (monotonic_ns - self._read_monotonic_ns) / NS_PER_S
            kept = max(0.0, 1 - waited_s / FORGET_S)
            self._credit = kept * self._credit + waited_s * self._sample_rate_hz
        self._read_monotonic_ns = monotonic_ns
