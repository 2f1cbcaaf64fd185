"""Whether samples come at the rate that was asked for: no server says so."""

from __future__ import annotations

from heimdall_edge.types import NS_PER_S

SLACK_S = 2.0
"""Samples of the rate before, and queues that empty, may come so far ahead of the clock."""
TOO_FAST, TOO_SLOW = 1.02, 0.95
"""No crystal is so wrong."""
WINDOW_S = 10.0


class RateWatch:
    """Compares samples since the stream began with the time since then.

    No queue can give more samples than a radio took since the stream began, so too many of them
    prove another rate. Too few prove nothing: a network may have lost the others, or they wait in
    the server's queue, and then they come late.

    Parameters
    ----------
    sample_rate_hz
        What was asked for.
    began_monotonic_ns
        When the stream began.
    """

    def __init__(self, *, sample_rate_hz: float, began_monotonic_ns: int) -> None:
        self._rate_hz, self._began_ns = sample_rate_hz, began_monotonic_ns
        self._n_samples = 0
        self._elapsed_s = 0.0
        self._window = (0, began_monotonic_ns)  # samples and time at its start
        self.slow_hz: float | None = None
        """The mean rate of the window that has just ended, if that was too slow."""

    def note(self, n_samples: int, monotonic_ns: int) -> None:
        """So many more have come until now."""
        self._n_samples += n_samples
        self._elapsed_s = (monotonic_ns - self._began_ns) / NS_PER_S
        self.slow_hz = None
        count, since_ns = self._window
        if monotonic_ns - since_ns >= WINDOW_S * NS_PER_S:
            rate_hz = (self._n_samples - count) * NS_PER_S / (monotonic_ns - since_ns)
            self.slow_hz = rate_hz if rate_hz < TOO_SLOW * self._rate_hz else None
            self._window = (self._n_samples, monotonic_ns)

    @property
    def measured_hz(self) -> float:
        """Mean rate since the stream began; 0 before anything came."""
        return self._n_samples / self._elapsed_s if self._elapsed_s > 0 else 0.0

    @property
    def is_too_fast(self) -> bool:
        return self._n_samples > self._rate_hz * (TOO_FAST * self._elapsed_s + SLACK_S)
